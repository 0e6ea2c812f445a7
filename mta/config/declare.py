"""The means to declare a key: what `schema` is written in, and what others ask a declaration.

`setting` and `group` make the fields of a pydantic model; `keys_of` walks the finished model and gives a
`Key` for each. Which keys there are is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from mta.config.kinds import Kind
from mta.config.tokens import Plain

Default: TypeAlias = Any
"""What a field is set to in its class; to a type checker, whatever its annotation says."""
Applies = Literal["at once", "next session", "restart"]
AT_ONCE: Applies = "at once"
NEXT: Applies = "next session"
RESTART: Applies = "restart"


class Group(BaseModel):
    """Settings that stand together in braces."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class _Said:
    """What is said of a setting beside its kind and default."""

    note: str
    text: str
    applies: Applies
    live: bool
    secret: bool
    sample: Plain


def setting(
    default: Plain,
    note: str,
    text: str,
    *,
    applies: Applies,
    live: bool = False,
    secret: bool = False,
    sample: Plain = None,
    alias: str | None = None,
) -> Default:
    """A key. `default` has the form of the file (`...`: there is none), and so has `sample`, which the
    shipped file says instead.

    `note` stands beside the key in the sample, `text` in the manual. `live`: may be set through the control
    port. `secret`: may hold a password, which is masked wherever the value is shown. `alias`: the key's name
    in the file where Python cannot have it.
    """
    field: FieldInfo = Field(default, validate_default=True, alias=alias)
    field.metadata.append(_Said(note, text, applies, live, secret, default if sample is None else sample))
    return field


def group(note: str = "") -> Default:
    """A group of settings, all of which may be left out; `note` heads it in the sample."""
    return Field({}, validate_default=True, description=note)


@dataclass(frozen=True)
class Key:
    """All that is declared of one key; `name` is dotted, `default` and `sample` have the form of the file."""

    name: str
    kind: Kind
    is_list: bool
    required: bool
    default: Plain
    sample: Plain
    note: str
    text: str
    applies: Applies
    live: bool
    secret: bool


def groups_of(model: type[Group], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and note of every group within `model`."""
    for name, field in model.model_fields.items():
        if inner := _group_in(field):
            yield f"{prefix}{name}", field.description or ""
            yield from groups_of(inner, f"{prefix}{name}.")


def keys_of(model: type[Group], prefix: str = "") -> Iterator[Key]:
    """Every key within `model`, in the order of declaration."""
    for attribute, field in model.model_fields.items():
        name = prefix + (field.alias or attribute)
        if inner := _group_in(field):
            yield from keys_of(inner, f"{name}.")
        else:
            yield _key(name, field)


def _group_in(field: FieldInfo) -> type[Group] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Group) else None


def _key(name: str, field: FieldInfo) -> Key:
    said = next(item for item in field.metadata if isinstance(item, _Said))
    alone = [item for item in field.metadata if isinstance(item, Kind)]
    kind = alone[0] if alone else get_args(get_args(field.annotation)[0])[1]
    return Key(
        name,
        kind,
        is_list=not alone,
        required=field.is_required(),
        default=None if field.is_required() else field.default,
        **vars(said),
    )
