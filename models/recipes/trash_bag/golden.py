#!/usr/bin/env python3
"""Writes the golden pictures: validation pictures, their labels and what the model finds on them.

    golden.py MODEL.onnx MANIFEST.toml TRASHBAGS OUT

OUT gets NAME.png (lossless and small enough to need no scaling: the 416 x 416 input itself),
NAME.txt (labels as in the data set) and expected.json: per picture the boxes (left, top, right,
bottom, fractions of the picture) and scores that evaluate.py's decoder gives down to half of the
manifest's threshold, best first. A picture of 416 x 416 goes into the network as it is, so the
figures do not depend on how a program scales.
"""

import json
import os
import shutil
import sys
import tomllib

from PIL import Image

from evaluate import SIZE, detect, session

# Places of the pictures in the sorted validation part.
PLACES = (0, 9, 20, 31, 43, 55)


def main():
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    model, manifest, trashbags, out = sys.argv[1:]
    with open(manifest, "rb") as f:
        threshold = tomllib.load(f)["threshold"]
    run = session(model)
    folder = os.path.join(trashbags, "val")
    names = sorted(os.path.splitext(n)[0] for n in os.listdir(os.path.join(folder, "images")))
    os.makedirs(out, exist_ok=True)
    expected = []
    for place in PLACES:
        name = names[place]
        image = Image.open(os.path.join(folder, "images", name + ".jpg")).convert("RGB")
        image = image.resize((SIZE, SIZE), Image.BILINEAR)
        image.save(os.path.join(out, name + ".png"), optimize=True)
        shutil.copyfile(os.path.join(folder, "labels", name + ".txt"), os.path.join(out, name + ".txt"))
        boxes, scores = detect(run, image, threshold / 2)
        expected.append({
            "picture": name + ".png",
            "detections": [{"box": [round(float(v) / SIZE, 5) for v in box], "score": round(float(score), 5)}
                           for box, score in zip(boxes, scores)],
        })
    with open(os.path.join(out, "expected.json"), "w") as f:
        json.dump({"model": "trash_bag", "threshold": threshold, "pictures": expected}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
