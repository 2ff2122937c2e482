"""Read templates without running Terraform: variables, providers, modules and literal parameters.

The reader uses the syntax alone (tree-sitter for ``.tf``, JSON for ``.tf.json``). It evaluates no expression that
needs Terraform and calls no provider.
"""

from .conditions import allowed_texts
from .module import Module, ModuleCall, Provisioner
from .problems import Location, Problem, TemplateSyntaxError
from .reader import read_module
from .syntax import NotConstantError
from .values import expression_value, read_values

__all__ = [
    "Location",
    "Module",
    "ModuleCall",
    "NotConstantError",
    "Problem",
    "Provisioner",
    "TemplateSyntaxError",
    "allowed_texts",
    "expression_value",
    "read_module",
    "read_values",
]
