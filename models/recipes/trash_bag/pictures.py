"""Reading the pictures: the trash bags with their boxes, and photographs without trash.

Everything is u8 BGR, as OpenCV gives it. Lists are sorted, so that a seed means the same run.
"""

import glob
import os

import cv2
import numpy as np

# Side to which a trash-bag picture (640 x 640) is reduced when it is kept in memory.
SIDE = 512
# Longest side of a photograph kept in memory.
LONGEST = 900
# Training pictures kept back for choosing the threshold: the files at these places of the sorted list.
HELD_BACK = slice(300, 360)
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")


def read_boxes(path):
    """f32[n, 5]: class, then left, top, right, bottom as fractions of the picture."""
    rows = []
    with open(path) as f:
        for line in f:
            parts = [float(v) for v in line.split()]
            if not parts:
                continue
            if len(parts) != 5:
                raise SystemExit(f"{path}: a line with {len(parts)} values, expected 5")
            k, x, y, w, h = parts
            rows.append((k, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return np.array(rows, np.float32).reshape(-1, 5)


def content_mask(picture):
    """u8[h, w], 255 where the picture shows something: the white and black borders that the data
    set's own augmentation left are the white or black pixels connected to the edge."""
    low, high = picture.min(2), picture.max(2)
    border = ((low >= 247) | (high <= 8)).astype(np.uint8)
    border = cv2.morphologyEx(border, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(border, connectivity=4)
    edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    area = picture.shape[0] * picture.shape[1]
    edge = [k for k in edge if k and stats[k, cv2.CC_STAT_AREA] > 0.01 * area]
    outside = np.isin(parts, edge).astype(np.uint8)
    outside = cv2.dilate(outside, np.ones((5, 5), np.uint8))
    return np.where(outside == 1, 0, 255).astype(np.uint8)


def trash_bags(folder):
    """The pictures of one part of the data set: list of (name, picture, boxes in pixels f32[n, 5])."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "images", "*.jpg"))):
        name = os.path.splitext(os.path.basename(path))[0]
        picture = cv2.imread(path)
        boxes = read_boxes(os.path.join(folder, "labels", name + ".txt"))
        picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        boxes[:, 1:] *= SIDE
        found.append((name, picture, boxes))
    if not found:
        raise SystemExit(f"{folder}: no pictures under images/")
    return found


def cut_out(picture, box):
    """u8[h, w, 4]: the bag in the box with its outline by GrabCut as alpha, or nothing where
    GrabCut finds no sensible outline."""
    left, top, right, bottom = (int(round(v)) for v in box)
    w, h = right - left, bottom - top
    margin = max(6, int(0.15 * max(w, h)))
    l, t = max(left - margin, 0), max(top - margin, 0)
    r, b = min(right + margin, picture.shape[1]), min(bottom + margin, picture.shape[0])
    patch = picture[t:b, l:r]
    scale = min(1.0, 112 / max(patch.shape[:2]))
    small = cv2.resize(patch, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rect = [int(v * scale) for v in (left - l, top - t, w, h)]
    mask = np.zeros(small.shape[:2], np.uint8)
    cv2.setRNGSeed(1)
    try:
        cv2.grabCut(small, mask, rect, np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_RECT)
    except cv2.error:
        return None
    mask = np.where((mask == 1) | (mask == 3), 255, 0).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if len(stats) < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, pw, ph, area = stats[largest]
    if area < 0.45 * rect[2] * rect[3] or pw < 0.75 * rect[2] or ph < 0.75 * rect[3]:
        return None
    alpha = cv2.GaussianBlur((parts == largest).astype(np.uint8) * 255, (3, 3), 0)
    return np.dstack([small, alpha])[y : y + ph, x : x + pw]


def cut_outs(pictures, most, seed):
    """Up to `most` bags with alpha, from boxes of a sensible size taken in a seeded order."""
    places = [(k, n) for k, (_, _, boxes) in enumerate(pictures) for n in range(len(boxes))]
    order = np.random.default_rng(seed).permutation(len(places))
    found = []
    for place in order:
        k, n = places[place]
        _, picture, boxes = pictures[k]
        _, l, t, r, b = boxes[n]
        inside = l > 4 and t > 4 and r < SIDE - 4 and b < SIDE - 4
        if not inside or min(r - l, b - t) < 40 or max(r - l, b - t) > 220:
            continue
        bag = cut_out(picture, (l, t, r, b))
        if bag is not None:
            found.append(bag)
            if len(found) == most:
                break
    return found


def shrink(picture, longest=LONGEST):
    scale = longest / max(picture.shape[:2])
    return picture if scale >= 1 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def photographs(folder, role):
    """Photographs without trash: list of (source, name, picture), from `folder/<role>/<source>/`."""
    found = []
    root = os.path.join(folder, role)
    for source in sorted(os.listdir(root)):
        for path in sorted(glob.glob(os.path.join(root, source, "*"))):
            if path.lower().endswith(EXTENSIONS):
                picture = cv2.imread(path)
                if picture is not None:
                    found.append((source, os.path.basename(path), shrink(picture)))
    if not found:
        raise SystemExit(f"{root}: no photographs")
    return found


def stamps(folder):
    """Things on a transparent ground (u8 BGRA), pasted as distractors: `folder/stamps/*.png`."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "stamps", "*.png"))):
        stamp = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        if stamp is not None and stamp.ndim == 3 and stamp.shape[2] == 4:
            found.append(shrink(stamp, 256))
    return found

