#!/usr/bin/env python3
"""Draws what a program printed as an SVG picture of a terminal: terminal_picture.py TITLE < output > picture.svg"""
import html
import sys

LINE_HEIGHT = 17
CHARACTER_WIDTH = 7.85
MARGIN = 16


def draw(title: str, lines: list[str]) -> str:
    width = int(max([len(line) for line in lines] + [len(title)]) * CHARACTER_WIDTH + 2 * MARGIN)
    height = LINE_HEIGHT * (len(lines) + 2) + 2 * MARGIN
    text = "\n".join(
        f'<text x="{MARGIN}" y="{MARGIN + LINE_HEIGHT * (number + 2)}" xml:space="preserve">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">\n'
        f'<rect width="100%" height="100%" rx="6" fill="#10151c"/>\n'
        f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13" fill="#d8dee6">\n'
        f'<text x="{MARGIN}" y="{MARGIN + LINE_HEIGHT // 2}" fill="#7fb4ff">$ {html.escape(title)}</text>\n'
        f"{text}\n</g>\n</svg>\n"
    )


if __name__ == "__main__":
    sys.stdout.write(draw(sys.argv[1], [line.rstrip() for line in sys.stdin]))
