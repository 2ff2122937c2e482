// Shows the API schema. No validator: it would send the address of this server to a third party.
"use strict";

SwaggerUIBundle({
  url: document.getElementById("swagger").dataset.description,
  dom_id: "#swagger",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});
