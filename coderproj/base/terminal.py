"""Output of commands about jobs and their results: live progress on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.tree import Tree


class TerminalOutput:
    """Prints steps, logs and results. ``durations`` holds the duration of each step in seconds."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.durations: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run a step: show a spinner on a terminal, then print a line with the duration."""
        began = time.perf_counter()
        with self.console.status(f"{name} …"):
            yield
        self.durations[name] = time.perf_counter() - began
        self.console.print(f"[green]✓[/] {name} [dim]({_seconds(self.durations[name])})[/]")

    def job(self, lines: Iterator[tuple[float, dict[str, Any]]]) -> float | None:
        """Print log lines as they arrive, with a heading per stage. Return the arrival time of the first line."""
        first: float | None = None
        stage = ""
        with self.console.status("Waiting for a daemon …") as status:
            for arrived, line in lines:
                first = first or arrived
                if line["stage"] != stage:
                    stage = line["stage"]
                    self.console.print(f"  [bold]▸ {stage}[/]")
                    status.update(f"{stage} …")
                if line["output"] and line["log_level"] in {"info", "warn", "error"}:
                    colour = {"warn": "yellow", "error": "red"}.get(line["log_level"], "dim")
                    self.console.print(f"    {line['output']}", style=colour, markup=False)
        return first

    def parameters(self, variables: list[dict[str, Any]], rich_parameters: list[dict[str, Any]]) -> None:
        """Print the variables and rich parameters of a template."""
        table = Table("Parameter", "Type", "Default", "Rule", title="Parameters", title_justify="left")
        for variable in variables:
            rule = variable["validation_error"] or variable["validation_condition"]
            table.add_row(variable["name"], variable["validation_value_type"] or "any", _default(variable), rule)
        for parameter in rich_parameters:
            default = "(required)" if parameter["required"] else parameter["default_value"]
            table.add_row(parameter["name"], parameter["type"], default, _rule(parameter))
        self.console.print(table)

    def resources(self, resources: list[dict[str, Any]], title: str) -> None:
        """Print the resources of a template with their agents and apps."""
        tree = Tree(f"[bold]{title}[/]")
        for resource in resources:
            branch = tree.add(f"{resource['type']}.{resource['name']}{_cost(resource)}")
            for item in resource["metadata"]:
                branch.add(f"[dim]{item['key']}: {'(sensitive)' if item['sensitive'] else item['value']}[/]")
            for agent in resource["agents"]:
                system = f"{agent['operating_system']}/{agent['architecture']}"
                leaf = branch.add(f"agent [cyan]{agent['name']}[/] ({system})")
                for app in agent["apps"]:
                    leaf.add(f"app [magenta]{app['display_name'] or app['slug']}[/]")
        self.console.print(tree)

    def figures(self, rows: list[tuple[str, str, str]]) -> None:
        """Print measured figures: name, value and comparison."""
        self.table("Figures", ("Figure", "Measured", "Compared"), rows)

    def table(self, title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table."""
        table = Table(*headings, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _default(variable: dict[str, Any]) -> str:
    if not variable["redisplay_value"]:
        return "(sensitive)"
    return variable["default_source_value"] if variable["default_source_scheme"] == "data" else "(required)"


def _rule(parameter: dict[str, Any]) -> str:
    if parameter["options"]:
        return "one of " + ", ".join(option["value"] for option in parameter["options"])
    if parameter["validation_regex"]:
        return f"matches {parameter['validation_regex']}"
    if parameter["validation_min"] or parameter["validation_max"]:
        return f"{parameter['validation_min']} to {parameter['validation_max']}"
    return ""


def _cost(resource: dict[str, Any]) -> str:
    return f" [dim](daily cost {resource['daily_cost']})[/]" if resource["daily_cost"] else ""
