#!/usr/bin/env python3
"""Measures the trash-bag model: prints the figures of its card.

    evaluate.py MODEL.onnx TRASHBAGS [BACKGROUNDS] [--threshold T] [--beside NANODET.onnx]

Needs numpy, onnxruntime and Pillow (to read and scale pictures). Preprocessing, decoding and
suppression are those of the manifest: letterbox to 416 centred on 0, BGR, NanoDet outputs, IoU 0.6.
"""

import argparse
import glob
import os
import time

import numpy as np
import onnxruntime
from PIL import Image

SIZE, BINS, STRIDES = 416, 11, (8, 16, 32)
MEAN = np.array([103.53, 116.28, 123.675], np.float32)
STD = np.array([57.375, 57.12, 58.395], np.float32)
SUPPRESS = 0.6
# Least score of a detection that takes part in the average precision.
FLOOR = 0.01
# Added to the threshold that the tuning set gives.
MARGIN = 0.1
# The training pictures that were kept back, as in pictures.py.
HELD_BACK = slice(300, 360)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def prepare(image):
    """(f32[1, 3, 416, 416], scale, left, top) of a Pillow image."""
    width, height = image.size
    scale = min(SIZE / width, SIZE / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (SIZE - w) // 2, (SIZE - h) // 2
    canvas = np.zeros((SIZE, SIZE, 3), np.float32)
    canvas[top : top + h, left : left + w] = np.asarray(image.convert("RGB").resize((w, h), Image.BILINEAR))[..., ::-1]
    x = (canvas - MEAN) / STD
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None]), (w / width, h / height), left, top


def suppress(boxes, scores):
    order, kept = scores.argsort(kind="stable")[::-1], []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(first)
        low, high = np.maximum(boxes[first, :2], boxes[rest, :2]), np.minimum(boxes[first, 2:], boxes[rest, 2:])
        inter = (high - low).clip(0).prod(1)
        order = rest[inter / (area[first] + area[rest] - inter + 1e-9) <= SUPPRESS]
    return kept


def detect(run, image, floor=FLOOR):
    """(boxes f32[n, 4] in pixels of the picture, scores f32[n]), best first."""
    x, (sx, sy), left, top = prepare(image)
    scores, dists = run.run(["scores", "dists"], {run.get_inputs()[0].name: x})
    sides = dists[0].reshape(-1, 4, BINS)
    odds = np.exp(sides - sides.max(-1, keepdims=True))
    reach = (odds / odds.sum(-1, keepdims=True) * np.arange(BINS)).sum(-1)
    centres, strides = [], []
    for stride in STRIDES:
        n = SIZE // stride
        y, c = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
        centres.append((np.stack([c, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(n * n, stride))
    centres, reach = np.concatenate(centres), reach * np.concatenate(strides)[:, None]
    boxes = np.concatenate([centres - reach[:, :2], centres + reach[:, 2:]], 1)
    score = scores[0, :, 0]
    keep = score >= floor
    boxes, score = (boxes[keep] - [left, top, left, top]) / [sx, sy, sx, sy], score[keep]
    boxes = np.clip(boxes, 0, [image.width, image.height] * 2)
    kept = suppress(boxes, score)
    return boxes[kept], score[kept]


def overlap(box, boxes):
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inter = (high - low).clip(0).prod(1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - inter
    return inter / union


def read_boxes(path, width, height):
    rows = np.array([[float(v) for v in line.split()] for line in open(path) if line.strip()]).reshape(-1, 5)
    k, x, y, w, h = rows.T
    return k.astype(int), np.stack([(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height], 1)


def matches(found, truth, wanted, least):
    """Scores and hits of one picture's detections; those on boxes that are not wanted count as neither."""
    boxes, scores = found
    free = np.ones(len(truth), bool)
    rows = []
    for box, score in zip(boxes, scores):
        iou = overlap(box, truth) if len(truth) else np.zeros(0)
        iou = np.where(free, iou, 0)
        best = int(iou.argmax()) if len(iou) else -1
        if best >= 0 and iou[best] >= least:
            free[best] = False
            if wanted[best]:
                rows.append((score, 1))
        else:
            rows.append((score, 0))
    return rows


def average_precision(pictures, results, only=None, least=0.5):
    """Area under the precision envelope over all recalls (VOC 2010)."""
    rows, total = [], 0
    for (_, classes, truth), found in zip(pictures, results):
        wanted = np.ones(len(truth), bool) if only is None else classes == only
        total += wanted.sum()
        rows += matches(found, truth, wanted, least)
    rows = np.array(sorted(rows, reverse=True)).reshape(-1, 2)
    hits = rows[:, 1].cumsum()
    recall, precision = hits / total, hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(np.concatenate([[0], recall])) * precision).sum())


def at_threshold(pictures, results, threshold, least=0.5):
    hits = shown = total = 0
    for (_, _, truth), (boxes, scores) in zip(pictures, results):
        keep = scores >= threshold
        rows = matches((boxes[keep], scores[keep]), truth, np.ones(len(truth), bool), least)
        hits, shown, total = hits + sum(h for _, h in rows), shown + len(rows), total + len(truth)
    return hits / max(shown, 1), hits / total


def bag_pictures(folder, places=slice(None)):
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "images", "*.jpg")))[places]:
        image = Image.open(path)
        image.load()
        label = os.path.join(folder, "labels", os.path.basename(path)[:-3] + "txt")
        found.append((image, *read_boxes(label, *image.size)))
    return found


def farther(pictures, factor):
    """The same pictures in the middle of a black canvas `factor` times as large: smaller bags."""
    found = []
    for image, classes, truth in pictures:
        canvas = Image.new("RGB", (image.width * factor, image.height * factor))
        place = ((canvas.width - image.width) // 2, (canvas.height - image.height) // 2)
        canvas.paste(image, place)
        found.append((canvas, classes, truth + np.array(place * 2)))
    return found


def quarters(image):
    """The picture and its four quarters, as a camera sees them that looks closer."""
    w, h = image.width // 2, image.height // 2
    return [image] + [image.crop((x, y, x + w, y + h)) for y in (0, h) for x in (0, w)]


def alarms(run, folder, views=lambda image: [image]):
    """Highest score of every picture over its views: source -> list of (score, name)."""
    highest = {}
    for source in sorted(os.listdir(folder)):
        for path in sorted(glob.glob(os.path.join(folder, source, "*.png"))):
            top = max(float(detect(run, view)[1].max(initial=0)) for view in views(Image.open(path)))
            highest.setdefault(source, []).append((top, os.path.basename(path)))
    return highest


def choose_threshold(highest):
    """The least multiple of 0.05 at which no picture of the tuning set fires, whole or in quarters,
    and a margin, since that set is small."""
    top = max(score for rows in highest.values() for score, _ in rows)
    return round(0.05 * (int(top / 0.05) + 1) + MARGIN, 2)


def milliseconds(path, runs=40):
    run = session(path)
    feed = {run.get_inputs()[0].name: np.random.default_rng(0).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)}
    times = []
    for _ in range(runs + 5):
        began = time.perf_counter()
        run.run(None, feed)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times[5:]))


def report_bags(title, pictures, results, threshold):
    boxes = sum(len(truth) for _, _, truth in pictures)
    print(f"{title}: {len(pictures)} pictures, {boxes} boxes")
    print(f"  AP50 {average_precision(pictures, results):.3f}   AP30 {average_precision(pictures, results, least=0.3):.3f}")
    for k, name in enumerate(("general_trashbag", "other_trashbag")):
        print(f"  AP50 of {name} {average_precision(pictures, results, only=k):.3f}")
    precision, recall = at_threshold(pictures, results, threshold)
    loose_precision, loose_recall = at_threshold(pictures, results, threshold, 0.3)
    print(f"  at {threshold}: precision {precision:.2f} recall {recall:.2f} (IoU 0.5); "
          f"precision {loose_precision:.2f} recall {loose_recall:.2f} (IoU 0.3)")
    fired = sum((scores >= threshold).any() for _, scores in results)
    print(f"  at {threshold}: {fired} of {len(pictures)} pictures have a detection")


def report_alarms(title, highest, threshold):
    every = [score for rows in highest.values() for score, _ in rows]
    fired = [score for score in every if score >= threshold]
    print(f"{title}: {len(fired)} of {len(every)} pictures without trash fire at {threshold} "
          f"({100 * len(fired) / len(every):.1f} of 100); {sum(s >= threshold / 2 for s in every)} at half of it")
    for source, rows in highest.items():
        top = max(rows)
        print(f"  {source:16} {sum(s >= threshold for s, _ in rows):3} of {len(rows):3}, highest {top[0]:.2f} ({top[1]})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("trashbags")
    parser.add_argument("backgrounds", nargs="?")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--beside")
    a = parser.parse_args()
    run = session(a.model)
    threshold = a.threshold
    if a.backgrounds:
        tune = alarms(run, os.path.join(a.backgrounds, "tune"), quarters)
        if threshold is None:
            threshold = choose_threshold(tune)
            print(f"threshold by the tuning set: {threshold}")
        report_alarms("tuning set, whole and in quarters", tune, threshold)
        report_alarms("reported set", alarms(run, os.path.join(a.backgrounds, "report")), threshold)
    elif threshold is None:
        raise SystemExit("give --threshold, or BACKGROUNDS to choose one")
    for title, part, places in (("validation part", "val", slice(None)), ("kept back from training", "train", HELD_BACK)):
        pictures = bag_pictures(os.path.join(a.trashbags, part), places)
        report_bags(title, pictures, [detect(run, image) for image, _, _ in pictures], threshold)
        if part == "val":
            for factor in (2, 4):
                small = farther(pictures, factor)
                results = [detect(run, image) for image, _, _ in small]
                _, recall = at_threshold(small, results, threshold)
                print(f"  {factor} times as far: AP50 {average_precision(small, results):.3f}, recall {recall:.2f}")
    if a.beside:
        print(f"one thread: {milliseconds(a.model):.1f} ms, beside it {milliseconds(a.beside):.1f} ms")


if __name__ == "__main__":
    main()
