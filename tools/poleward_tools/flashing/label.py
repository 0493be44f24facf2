"""Draws the label of a node as PDF and PNG, and hands it to a printer's command.

What the label says is in `claim_code.py`.
"""

import io
import shlex
import subprocess
from pathlib import Path

import segno
from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont

from poleward_tools.flash_image.node_nvs import NodeIdentity
from poleward_tools.flashing.claim_code import grouped, label_payload

# A common size of labels that survive the inside of a pole: 50 mm x 25 mm.
_WIDTH_MM = 50.0
_HEIGHT_MM = 25.0
_MARGIN_MM = 1.5
_DOTS_PER_MM = 12  # about 300 dpi
_POINTS_PER_MM = 72 / 25.4
_QUIET_MODULES = 4  # ISO/IEC 18004, 6.3.8
_PRINT_TIMEOUT_S = 30


class LabelError(Exception):
    """The printer did not take a label; the files are there and can be printed later."""


def write_label(folder: Path, identity: NodeIdentity) -> tuple[Path, Path]:
    """Write the label as PDF and PNG; returns both paths.

    Raises:
        OSError: a file cannot be written.
    """
    code = _qr_code(identity)
    lines = _lines(identity)
    pdf_path = folder / f"{identity.mac.hex()}.pdf"
    png_path = folder / f"{identity.mac.hex()}.png"
    _replace(pdf_path, _as_pdf(code, lines))
    _replace(png_path, _as_png(code, lines))
    return pdf_path, png_path


def print_label(command: str, label: Path) -> None:
    """Run the printer's command with the label's path at the end, or in the place of {}.

    Raises:
        LabelError: there is no such command, or it failed.
    """
    words = shlex.split(command)
    arguments = [word.replace("{}", str(label)) for word in words]
    if arguments == words:
        arguments.append(str(label))
    try:
        done = subprocess.run(
            arguments, check=False, capture_output=True, text=True, timeout=_PRINT_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired, IndexError) as error:
        raise LabelError(f"no label printer: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise LabelError(f"label printer: {said[-1] if said else f'exit {done.returncode}'}")


def _qr_code(identity: NodeIdentity) -> Image.Image:
    code = segno.make(label_payload(identity), error="m", micro=False)
    image = io.BytesIO()
    code.save(image, kind="png", scale=8, border=_QUIET_MODULES)
    return Image.open(image).convert("L")


def _lines(identity: NodeIdentity) -> list[tuple[str, float]]:
    """Return the lines of text with their heights in mm."""
    return [
        ("Poleward node", 2.4),
        (identity.mac.hex(":"), 2.6),
        (identity.profile, 2.2),
        (grouped(identity.claim_code), 2.8),
    ]


def _as_pdf(code: Image.Image, lines: list[tuple[str, float]]) -> bytes:
    page = FPDF(orientation="landscape", unit="mm", format=(_HEIGHT_MM, _WIDTH_MM))
    page.set_auto_page_break(False)
    page.set_margin(0)
    page.add_page()
    side_mm = _HEIGHT_MM - 2 * _MARGIN_MM
    page.image(code, x=_MARGIN_MM, y=_MARGIN_MM, w=side_mm, h=side_mm)
    y_mm = _MARGIN_MM + 4.0
    for text, height_mm in lines:
        page.set_font("helvetica", size=height_mm * _POINTS_PER_MM)
        page.text(x=side_mm + 2 * _MARGIN_MM, y=y_mm, text=text)
        y_mm += height_mm * 1.8
    return bytes(page.output())


def _as_png(code: Image.Image, lines: list[tuple[str, float]]) -> bytes:
    size = int(_WIDTH_MM * _DOTS_PER_MM), int(_HEIGHT_MM * _DOTS_PER_MM)
    page = Image.new("L", size, 255)
    side_mm = _HEIGHT_MM - 2 * _MARGIN_MM
    side = int(side_mm * _DOTS_PER_MM)
    # Modules stay sharp when they are not smoothed.
    square = code.resize((side, side), Image.Resampling.NEAREST)
    page.paste(square, (int(_MARGIN_MM * _DOTS_PER_MM),) * 2)
    draw = ImageDraw.Draw(page)
    y_mm = _MARGIN_MM + 4.0
    for text, height_mm in lines:
        font = ImageFont.load_default(height_mm * _DOTS_PER_MM)
        place = (side_mm + 2 * _MARGIN_MM) * _DOTS_PER_MM, y_mm * _DOTS_PER_MM
        draw.text(place, text, fill=0, font=font, anchor="ls")
        y_mm += height_mm * 1.8
    image = io.BytesIO()
    page.save(image, format="png", dpi=(_DOTS_PER_MM * 25.4,) * 2)
    return image.getvalue()


def _replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(path.suffix + ".new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.replace(path)
