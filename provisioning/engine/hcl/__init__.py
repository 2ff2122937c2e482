"""Read templates without running Terraform: variables, providers, modules and literal parameters.

The reader uses the syntax alone (tree-sitter for ``.tf``, JSON for ``.tf.json``). It evaluates no expression that
needs Terraform and calls no provider.
"""

from .conditions import allowed_texts
from .module import Module, ModuleCall
from .problems import Location, Problem, TemplateSyntaxError
from .reader import read_module

__all__ = ["Location", "Module", "ModuleCall", "Problem", "TemplateSyntaxError", "allowed_texts", "read_module"]
