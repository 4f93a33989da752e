"""The report: one offline HTML file made from the tables of a results folder."""

from __future__ import annotations

from sceval.report.build import build

__all__ = ["build"]
