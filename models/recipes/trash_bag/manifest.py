#!/usr/bin/env python3
"""Writes the manifest of the trash-bag model.

    manifest.py trash_bag.onnx THRESHOLD > trash_bag.toml
"""

import hashlib
import sys

TEXT = """# Trash bags: evidence beside other signs, never an alarm by itself. Read CARD.md first.
# The input is that of nanodet_g_416, so that one scaled picture serves both.
id = "trash_bag"
family = "nanodet"
file = "trash_bag.onnx"
bytes = {size}
sha256 = "{digest}"
licence = "Apache-2.0"
origin = "NanoDet-g by RangiLyu (github.com/RangiLyu/nanodet, Apache-2.0), retrained by recipes/trash_bag on WoosongVision 'Trashbags segmentation v1+v2' (CC BY 4.0)"
threshold = {threshold}
nms_iou = 0.6
labels = ["trash_bag"]

[input]
width = 416
height = 416
colour = "bgr"
mean = [103.53, 116.28, 123.675]
std = [57.375, 57.12, 58.395]
fit = "centre"
pad = 0
"""


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    sys.stdout.write(TEXT.format(size=len(data), digest=hashlib.sha256(data).hexdigest(), threshold=float(sys.argv[2])))


if __name__ == "__main__":
    main()
