"""Translates what CUDA adds to C++ and g++ does not know."""

from __future__ import annotations

import re

_SHARED = re.compile(
    r"^(?P<indent>[ \t]*)(?P<extern>extern\s+)?__shared__\s+"
    r"(?:(?:__align__|alignas)\((?P<alignment>[^()]+)\)\s+)?(?P<declaration>[^;=]+);",
    re.MULTILINE,
)
_DECLARATOR = re.compile(
    r"(?P<type>.*\S)?\s*\b(?P<name>\w+)\s*(?P<extents>(?:\[.*\])?)\s*", re.DOTALL
)
_KERNEL = re.compile(r"\b__global__\s+void\s+(?:__launch_bounds__\s*(?=\())?")


def _end_of_parentheses(source: str, start: int) -> int:
    depth = 0
    for i in range(start, len(source)):
        depth += (source[i] == "(") - (source[i] == ")")
        if depth == 0:
            return i + 1
    raise ValueError("unbalanced parentheses")


def translate(source: str) -> str:
    """CUDA's declarations as C++; line numbers stay.

    Shared variables become references into memory that the emulator gives to each block. A kernel's
    first statement passes its name and ``__launch_bounds__`` to the emulator.
    """
    return _enter_kernels(_declare_shared(source))


def _enter_kernels(source: str) -> str:
    done, rest = "", source
    while match := _KERNEL.search(rest):
        end, bounds = match.end(), ""
        if rest[end] == "(":
            end = _end_of_parentheses(rest, end)
            bounds = ", " + rest[match.end() + 1 : end - 1]
        end = _end_of_parentheses(rest, rest.index("(", end))
        body = re.compile(r"\s*\{").match(rest, end)
        if body is not None:  # otherwise a declaration
            end = body.end()
            call = f" ::emulator::enter_kernel(__PRETTY_FUNCTION__{' '.join(bounds.split())});"
        done += rest[:end] + (call if body is not None else "")
        rest = rest[end:]
    return done + rest


def _declare_shared(source: str) -> str:

    def declaration(match: re.Match[str]) -> str:
        alignment, kind, texts = match["alignment"] or "1", None, []
        for part in _split_at_commas(match["declaration"]):
            declarator = _DECLARATOR.fullmatch(part)
            if declarator is None:
                raise ValueError(f"unknown declaration of shared memory: {match[0]}")
            kind, name = kind or declarator["type"].strip(), declarator["name"]
            if match["extern"]:
                memory = f"static_cast<{kind}*>(::emulator::dynamic_shared())"
                texts.append(f"auto* const {name} = {memory};")
            else:
                extents = declarator["extents"]
                memory = f"::emulator::shared<{kind}{extents}, {alignment}>([] {{}})"
                texts.append(f"auto& {name} = {memory};")
        text = " ".join(" ".join(texts).split())
        return match["indent"] + text + "\n" * match[0].count("\n")

    return _SHARED.sub(declaration, source)


def _split_at_commas(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "<[") - (character in ">]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
