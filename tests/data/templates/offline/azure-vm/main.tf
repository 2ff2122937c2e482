terraform {
  required_providers {
    coder   = { source = "coder/coder" }
    azurerm = { source = "hashicorp/azurerm", version = "~> 3.0" }
    random  = { source = "hashicorp/random" }
    tls     = { source = "hashicorp/tls" }
  }
}

provider "azurerm" {
  features {
    virtual_machine {
      delete_os_disk_on_deletion = true
    }
  }
}

data "coder_workspace" "me" {}

data "coder_parameter" "location" {
  name    = "Location"
  default = "westeurope"
  mutable = false
}

data "azurerm_subscription" "current" {}

data "azurerm_platform_image" "ubuntu" {
  location  = data.coder_parameter.location.value
  publisher = "Canonical"
  offer     = "0001-com-ubuntu-server-jammy"
  sku       = "22_04-lts-gen2"
}

resource "coder_agent" "main" {
  os                      = "linux"
  arch                    = "amd64"
  auth                    = "azure-instance-identity"
  login_before_ready      = false
  startup_script_timeout  = 120
  env                     = { DISK = local.disk_path }
}

locals {
  disk_path = "/dev/disk/azure/scsi1/lun10"
  prefix    = substr(replace("c${data.coder_workspace.me.owner}${data.coder_workspace.me.name}", "/[^a-z0-9]/", ""), 0, 12)
  ports     = { ssh = 22, web = 443 }
}

resource "random_password" "admin" {
  length  = 24
  special = true
  keepers = { workspace = data.coder_workspace.me.id }
}

resource "random_id" "suffix" {
  byte_length = 4
}

resource "tls_private_key" "admin" {
  algorithm = "RSA"
  rsa_bits  = 4096
}

resource "azurerm_resource_group" "main" {
  name     = "${local.prefix}-${random_id.suffix.hex}"
  location = data.coder_parameter.location.value
  tags     = { Coder_Provisioned = "true", Subscription = data.azurerm_subscription.current.display_name }
}

resource "azurerm_virtual_network" "main" {
  name                = "network"
  address_space       = ["10.0.0.0/24"]
  location            = azurerm_resource_group.main.location
  resource_group_name = azurerm_resource_group.main.name
}

resource "azurerm_subnet" "internal" {
  name                 = "internal"
  resource_group_name  = azurerm_resource_group.main.name
  virtual_network_name = azurerm_virtual_network.main.name
  address_prefixes     = [cidrsubnet(one(azurerm_virtual_network.main.address_space), 5, 0)]
}

resource "azurerm_network_security_group" "main" {
  name                = "rules"
  location            = azurerm_resource_group.main.location
  resource_group_name = azurerm_resource_group.main.name
  dynamic "security_rule" {
    for_each = local.ports
    iterator = rule
    content {
      name                   = rule.key
      priority               = 100 + index(keys(local.ports), rule.key)
      direction              = "Inbound"
      access                 = "Allow"
      protocol               = "Tcp"
      destination_port_range = rule.value
    }
  }
}

resource "azurerm_network_interface" "main" {
  name                = "nic"
  location            = azurerm_resource_group.main.location
  resource_group_name = azurerm_resource_group.main.name
  ip_configuration {
    name                          = "internal"
    subnet_id                     = azurerm_subnet.internal.id
    private_ip_address_allocation = "Dynamic"
  }
}

resource "azurerm_managed_disk" "home" {
  name                 = "home"
  location             = azurerm_resource_group.main.location
  resource_group_name  = azurerm_resource_group.main.name
  storage_account_type = "StandardSSD_LRS"
  create_option        = "Empty"
  disk_size_gb         = 50
}

resource "azurerm_linux_virtual_machine" "main" {
  count                 = data.coder_workspace.me.start_count
  name                  = "vm"
  location              = azurerm_resource_group.main.location
  resource_group_name   = azurerm_resource_group.main.name
  size                  = "Standard_B2s"
  admin_username        = "coder"
  admin_password        = random_password.admin.result
  network_interface_ids = [azurerm_network_interface.main.id]
  custom_data = base64encode(templatefile("${path.module}/cloud-config.yaml.tftpl", {
    init_script = base64encode(coder_agent.main.init_script)
    hostname    = lower(data.coder_workspace.me.name)
    disk        = local.disk_path
  }))
  admin_ssh_key {
    username   = "coder"
    public_key = trimspace(tls_private_key.admin.public_key_openssh)
  }
  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "Standard_LRS"
  }
  source_image_reference {
    publisher = data.azurerm_platform_image.ubuntu.publisher
    offer     = data.azurerm_platform_image.ubuntu.offer
    sku       = data.azurerm_platform_image.ubuntu.sku
    version   = data.azurerm_platform_image.ubuntu.version
  }
}

resource "azurerm_virtual_machine_data_disk_attachment" "home" {
  count              = data.coder_workspace.me.transition == "start" ? 1 : 0
  managed_disk_id    = azurerm_managed_disk.home.id
  virtual_machine_id = azurerm_linux_virtual_machine.main[0].id
  lun                = "10"
  caching            = "ReadWrite"
}

resource "coder_metadata" "vm" {
  count       = data.coder_workspace.me.start_count
  resource_id = azurerm_linux_virtual_machine.main[0].id
  item {
    key   = "size"
    value = azurerm_linux_virtual_machine.main[0].size
  }
  item {
    key       = "password"
    value     = random_password.admin.result
    sensitive = true
  }
}

output "address" {
  value = try(azurerm_linux_virtual_machine.main[0].public_ip_address, null)
}
