"""Nothing public is without a word about it: names, methods, commands, options, settings, routes, errors, checks."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator

import click
import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import hitherto
from documentation.blocks import BEGINNINGS, DOCS, PAGES, ROOT, anchors, beginning, blocks, name_of
from hitherto import FeatureStore, RunReport, errors, events, expect, testing, types
from hitherto.cli import app
from hitherto.config.settings import Settings, known_settings
from hitherto.definitions import expectation
from hitherto.online.answer import Status
from hitherto.serving import problems
from hitherto.serving.app import create_app
from hitherto.testing import FakeClock
