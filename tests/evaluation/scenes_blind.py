"""Makes one clip of the blind set: other places, sizes, codings and happenings than scenes.py.

    scenes_blind.py SCENARIO.toml OUT.mp4 --carpark VTEST.mp4 --data FOLDER --examples FOLDER

A module of its own, so that a change here leaves the clips of the first set as they are. EXAMPLES
holds `leuvenA.jpg` and `tree.avi` of OpenCV's examples. What may stand in a scenario is written
down in docs/evaluation.md.
"""

import pathlib
import subprocess
import sys
import tomllib
import zlib

import cv2
import numpy as np

import scenes

PHOTOS = "trashbags/train/images/"
# Photographs of places: file, and the part of it that is shown (left, top, right, bottom). `wall`,
# `kerb` and `yard` are real dumping places with what lies there.
PLACES = {
    "town": ("leuvenA.jpg", (0.0, 0.25, 1.0, 1.0)),
    "wall": (PHOTOS + "20231005_165257_jpg.jpg", (0.127, 0.25, 0.873, 0.81)),
    "kerb": (PHOTOS + "20231005_163503_jpg.jpg", (0.0, 0.128, 1.0, 0.872)),
    "yard": (PHOTOS + "20231005_163635_jpg.jpg", (0.127, 0.41, 0.873, 0.97)),
}
# People who are alone in a part of the footage: who walks does so at 1 picture a picture.
PEOPLE = {
    "coat": ("carpark", 62.0, 68.5, [[0.0, 0.55], [0.62, 0.55], [0.62, 1.0], [0.0, 1.0]]),
    "man": ("carpark", 46.9, 48.1, [[0.8, 0.42], [0.95, 0.42], [0.95, 0.9], [0.8, 0.9]]),
    "jeans": ("carpark", 22.0, 24.0, [[0.5, 0.45], [0.8, 0.45], [0.8, 0.9], [0.5, 0.9]]),
    "back": ("hall", 30.0, 41.0, [[0.45, 0.0], [0.75, 0.0], [0.75, 0.95], [0.45, 0.95]]),
    "grey": ("hall", 100.0, 116.0, [[0.45, 0.0], [0.75, 0.0], [0.75, 0.95], [0.45, 0.95]]),
}
# Share of its speed at which the footage of somebody runs who stands.
STANDING = 0.15


class Place:
    """What the camera looks at: part of a recording, or a photograph, at a size of its own."""

    def __init__(self, base, size, sources):
        self.size, self.mirror = tuple(size), base.get("mirror", False)
        self.footage = None
        if "footage" in base:
            self.footage = sources.footage(base["footage"])
            self.crop = base.get("crop", (0, 0, 1, 1))
            picture = self.footage.plate
        elif "drawn" in base:
            self.crop = base.get("crop", (0, 0, 1, 1))
            picture = {"lobby": lobby, "platform": platform}[base["drawn"]]()
        else:
            file, self.crop = PLACES[base["photo"]]
            picture = sources.photo(file)
        self.plate = self.seen(picture)

    def seen(self, picture):
        rows, columns = picture.shape[:2]
        left, top, right, bottom = self.crop
        part = picture[round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)]
        part = cv2.flip(part, 1) if self.mirror else part
        return cv2.resize(part, self.size, interpolation=cv2.INTER_CUBIC)

    def people(self, seconds, polygon):
        """The place at a time of its recording: picture and soft mask of who is in it."""
        shown = self.footage.at(seconds)
        mask = self.footage.people(shown) * within(polygon, shown.shape, 15)
        return self.seen(shown), np.clip(self.seen(mask), 0, 1)


def floor(rng, tile, colour, corners):
    """Tiles, each of its own shade, laid out in perspective; and where they are."""
    shades = cv2.resize(rng.normal(0, 5, (40, 40)).astype(np.float32), (1200, 1200), interpolation=cv2.INTER_NEAREST)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (1200, 1200)).astype(np.float32), (0, 0), 2)
    flat = np.array(colour, np.float32) + (shades + grain * 14)[..., None]
    flat[np.arange(1200) % tile < 2] *= 0.8
    flat[:, np.arange(1200) % tile < 2] *= 0.8
    square = np.array([[0, 0], [1200, 0], [1200, 1200], [0, 1200]], np.float32)
    matrix = cv2.getPerspectiveTransform(square, np.array(corners, np.float32))
    flat = np.clip(flat, 0, 255).astype(np.uint8)
    return [cv2.warpPerspective(a, matrix, (768, 576), flags=cv2.INTER_AREA) for a in (flat, np.full((1200, 1200), 255, np.uint8))]


def lobby():
    """An entrance hall, drawn: tiles that shine, a wall with a doorway, a desk, a pillar."""
    rng = np.random.default_rng(1)
    picture = np.full((576, 768, 3), (176, 186, 190), np.uint8)
    tiles, there = floor(rng, 30, (140, 152, 160), [(-40, 170), (810, 170), (1300, 600), (-530, 600)])
    picture[there > 0] = tiles[there > 0]
    cv2.rectangle(picture, (0, 0), (768, 172), (168, 180, 184), -1)
    cv2.rectangle(picture, (0, 162), (768, 172), (70, 80, 90), -1)
    cv2.rectangle(picture, (560, 20), (690, 172), (60, 58, 52), -1)
    cv2.rectangle(picture, (568, 28), (682, 172), (205, 200, 185), -1)
    cv2.line(picture, (625, 28), (625, 172), (60, 58, 52), 4)
    cv2.fillPoly(picture, [np.array([[40, 250], [210, 190], [210, 262], [40, 350]])], (58, 84, 118))
    cv2.fillPoly(picture, [np.array([[25, 244], [195, 178], [225, 186], [45, 258]])], (150, 160, 165))
    cv2.rectangle(picture, (330, 0), (372, 250), (150, 158, 160), -1)
    cv2.rectangle(picture, (360, 0), (372, 250), (120, 128, 130), -1)
    shine = np.exp(-(((np.arange(768)[None] - 610) / 120) ** 2 + ((np.arange(576)[:, None] - 300) / 170) ** 2)) * 45
    light = np.where(np.arange(576)[:, None] > 172, shine, 0) + 12 * np.sin(np.arange(768)[None] / 170)
    return np.clip(picture + light[..., None] + rng.normal(0, 2, (576, 768, 1)), 0, 255).astype(np.uint8)


def platform():
    """An underground platform, drawn: track at the left, a yellow line, a tiled wall, a bench, posters."""
    rng = np.random.default_rng(2)
    picture = np.full((576, 768, 3), (52, 50, 48), np.uint8)
    slabs, there = floor(rng, 60, (112, 116, 120), [(330, 120), (520, 120), (840, 600), (-60, 600)])
    picture[there > 0] = slabs[there > 0]
    cv2.fillPoly(picture, [np.array([[340, 120], [346, 120], [50, 576], [10, 576]])], (60, 190, 215))
    wall = np.array([[520, 120], [520, 0], [768, 0], [768, 480]])
    cv2.fillPoly(picture, [wall], (160, 168, 166))
    for x in range(520, 768, 12):
        cv2.line(picture, (x, 0), (x, int(120 + (x - 520) * 1.45)), (140, 148, 146), 1)
    for left, ink in ((560, (40, 60, 160)), (640, (130, 90, 40)), (710, (50, 130, 70))):
        top, low = 40 - (left - 520) // 6, 120 + (left - 520) // 2
        cv2.rectangle(picture, (left, top), (left + 46, low), ink, -1)
        cv2.rectangle(picture, (left + 8, top + 12), (left + 38, low - 30), (190, 190, 190), -1)
    cv2.rectangle(picture, (330, 0), (520, 120), (70, 72, 74), -1)
    cv2.rectangle(picture, (300, 0), (560, 14), (235, 235, 225), -1)
    light = 0.75 + 0.35 * np.exp(-((np.arange(576)[:, None] - 260) / 220) ** 2) * np.ones((1, 768))
    return np.clip(picture * light[..., None] + rng.normal(0, 2, (576, 768, 1)), 0, 255).astype(np.uint8)


class Sources:
    """Recordings and pictures, each read once."""

    def __init__(self, carpark, data, examples):
        self.carpark, self.data, self.examples = carpark, data, examples
        self.known = {}

    def footage(self, name):
        if name not in self.known:
            self.known[name] = scenes.Footage(name, self.carpark, self.data)
        return self.known[name]

    def photo(self, file):
        folder = self.data if "/" in file else self.examples
        picture = cv2.imread(str(folder / file))
        return picture if picture is not None else sys.exit(f"{folder / file}: no picture")

    def leaves(self):
        """A real tree in the wind, until a hand comes into the picture; and where its leaves are."""
        capture, frames = cv2.VideoCapture(str(self.examples / "tree.avi")), []
        while len(frames) < 45:
            more, frame = capture.read()
            if not more:
                sys.exit("tree.avi: no video that can be read")
            frame = frame[60:, 40:250]
            alpha = np.clip((215 - frame.min(axis=2).astype(np.float32)) / 40, 0, 1)
            frames.append((np.clip(frame * 0.6, 0, 255).astype(np.uint8), alpha))
        return frames


def within(polygon, shape, soft):
    rows, columns = shape[:2]
    if polygon is None:
        return np.ones((rows, columns), np.float32)
    mask = np.zeros((rows, columns), np.float32)
    cv2.fillPoly(mask, [np.array([[x * columns, y * rows] for x, y in polygon], np.int32)], 1.0)
    return cv2.GaussianBlur(mask, (soft, soft), 0)


def to_and_fro(index, count):
    index %= max(1, 2 * count - 2)
    return index if index < count else 2 * count - 2 - index


# ---------------------------------------------------------------- things and people


def lump(spec, rng):
    """A tied sack of one colour, with folds of `folds` of 255."""
    colour = np.zeros((160, 150, 3), np.float32) + np.array(spec["colour"], np.float32)
    folds = cv2.GaussianBlur(rng.normal(0, 1, (160, 150)).astype(np.float32), (0, 0), 6)
    colour += (folds / folds.std() * spec.get("folds", 8))[..., None]
    alpha = np.zeros((160, 150), np.uint8)
    cv2.ellipse(alpha, (75, 105), (70, 54), 0, 0, 360, 255, -1)
    cv2.fillPoly(alpha, [np.array([[40, 70], [68, 22], [58, 2], [95, 4], [84, 22], [112, 70]])], 255)
    return np.clip(colour, 0, 255).astype(np.uint8), alpha


def slab(spec, _rng):
    """An even rectangle, `wide` times as wide as it is high."""
    shape = 120, round(120 * spec.get("wide", 0.5))
    alpha = np.zeros(shape, np.uint8)
    alpha[2:-2, 2:-2] = 255
    return np.full((*shape, 3), spec["colour"], np.uint8), alpha


def bicycle(_spec, _rng):
    colour, alpha = np.full((150, 250, 3), 40, np.uint8), np.zeros((150, 250), np.uint8)
    bones = [((55, 100), (105, 100)), ((105, 100), (170, 45)), ((55, 100), (90, 45)), ((90, 45), (170, 45)),
             ((90, 45), (105, 100)), ((195, 100), (165, 25)), ((165, 25), (185, 20)), ((80, 35), (105, 35))]
    for image, ink in ((colour, (50, 45, 170)), (alpha, 255)):
        for a, b in bones:
            cv2.line(image, a, b, ink, 6)
    for x in (55, 195):
        cv2.circle(alpha, (x, 100), 44, 255, 5)
        cv2.circle(colour, (x, 100), 44, (30, 30, 30), 5)
    return colour, alpha


def of_boxes(size, base, lift, boxes):
    """A thing of boxes, each (left, top, right, bottom) and so many times as light as `base`."""
    colour, alpha = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
    for (x0, y0, x1, y1), light in boxes:
        cv2.rectangle(colour, (x0, y0), (x1, y1), tuple(float(v) for v in np.clip(np.float32(base) * light + lift, 0, 255)), -1)
        cv2.rectangle(alpha, (x0, y0), (x1, y1), 255, -1)
    return colour, alpha


def case(spec, _rng):
    """A suitcase on wheels, its handle drawn out."""
    return of_boxes((220, 110), spec.get("colour", [60, 40, 35]), 8,
                    [((28, 4, 82, 14), 2.2), ((28, 4, 36, 80), 2.2), ((74, 4, 82, 80), 2.2),
                     ((6, 70, 104, 210), 1.0), ((14, 84, 96, 140), 1.35), ((14, 150, 96, 202), 1.25),
                     ((10, 208, 28, 219), 0.4), ((82, 208, 100, 219), 0.4)])


def chair(spec, _rng):
    """A wooden chair."""
    return of_boxes((200, 120), spec.get("colour", [50, 80, 120]), 0,
                    [((20, 4, 30, 110), 0.9), ((90, 4, 100, 110), 0.9), ((20, 10, 100, 34), 1.0),
                     ((20, 52, 100, 70), 1.0), ((10, 100, 110, 122), 1.3), ((10, 120, 20, 198), 0.8),
                     ((100, 120, 110, 198), 0.8), ((28, 120, 35, 180), 0.6), ((85, 120, 92, 180), 0.6)])


class Thing(scenes.Thing):
    """As in scenes.py, with more pictures, and `behind`: a part of the place that hides it."""

    def __init__(self, spec, place, sources, rng):
        width, height = place.size
        own = {"lump": lump, "slab": slab, "bicycle": bicycle, "case": case, "chair": chair}.get(spec["picture"])
        if own:
            colour, alpha = own(spec, rng)
        else:
            footage = sources.footage("carpark") if spec["picture"] == "van" else place
            colour, alpha = scenes.picture(spec, footage, sources.data, rng)
        self.spec = spec
        tall = max(3, round(spec["height"] * height))
        wide = max(3, round(tall * colour.shape[1] / colour.shape[0]))
        light = spec.get("light", 1.0)
        colour = cv2.resize(colour, (wide, tall), interpolation=cv2.INTER_AREA)
        self.colour = np.clip(colour * light, 0, 255).astype(np.uint8)
        alpha = cv2.resize(alpha, (wide, tall), interpolation=cv2.INTER_AREA)
        self.alpha = cv2.GaussianBlur(alpha, (3, 3), 0).astype(np.float32) / 255
        self.hides = within(spec["behind"], (height, width), 3) if "behind" in spec else None
        self.layer, self.gloss = spec.get("layer", 0), 0.0

    def draw(self, frame, t):
        spec = self.spec
        still = "path" not in spec or t >= spec["path"][-1][0]
        if self.gloss and still and spec["from"] <= t < spec.get("to", 1e9):
            x, y = self.place(t)
            tall, wide = self.alpha.shape
            mirrored(frame, self.colour, self.alpha * self.gloss, round(x * frame.shape[1] - wide / 2), round(y * frame.shape[0]))
        self.put(frame, t, self.hides)


def mirrored(frame, colour, alpha, left, top):
    """What stands on a floor that shines, upside down below itself, and weaker farther down."""
    fade = np.linspace(1, 0.2, len(alpha), dtype=np.float32)[:, None]
    scenes.Thing.blend(frame, colour[::-1], alpha[::-1] * fade, left, top, None)


class Walker:
    """Somebody of the footage, cut out, on a way of their own: [second, x, y] of their feet."""

    def __init__(self, spec, place, sources):
        name, begin, end, polygon = PEOPLE[spec["who"]]
        footage = sources.footage(name)
        cuts = []
        for index in range(int(begin * footage.fps), int(end * footage.fps)):
            frame = footage.frames[index]
            # Stricter than for people in their own place, which may bring its ground along.
            apart = cv2.GaussianBlur(cv2.absdiff(frame, footage.plate).max(axis=2), (3, 3), 0)
            mask = cv2.morphologyEx((apart > 55).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
            mask = cv2.GaussianBlur(mask * 1.0, (3, 3), 0).astype(np.float32) * (within(polygon, frame.shape, 3) > 0.5)
            _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
            if len(stats) < 2:
                continue
            label = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
            x, y, w, h, _ = stats[label]
            near = cv2.dilate((labels == label).astype(np.uint8), np.ones((3, 3)))
            cuts.append((frame[y : y + h, x : x + w], (mask * near)[y : y + h, x : x + w]))
        scale = spec["height"] * place.size[1] / np.median([c.shape[0] for c, _ in cuts])
        self.cuts = [tuple(self.sized(p, scale, spec.get("mirror", False)) for p in cut) for cut in cuts]
        self.path, self.layer, self.fps = spec["path"], spec.get("layer", 1), footage.fps
        self.upper, self.gloss = spec.get("upper", 1.0), 0.0

    @staticmethod
    def sized(picture, scale, mirror):
        rows, columns = picture.shape[:2]
        size = max(2, round(columns * scale)), max(2, round(rows * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        return cv2.flip(picture, 1) if mirror else picture

    def draw(self, frame, t):
        if not self.path[0][0] <= t < self.path[-1][0]:
            return
        steps = 0.0
        for a, b in zip(self.path, self.path[1:]):
            pace = STANDING if a[1:] == b[1:] else 1.0
            steps += pace * max(0.0, min(t, b[0]) - a[0])
        colour, alpha = self.cuts[to_and_fro(int(steps * self.fps), len(self.cuts))]
        # Who sits shows the upper part of themselves.
        kept = round(colour.shape[0] * self.upper)
        colour, alpha = colour[:kept], alpha[:kept]
        x, y = scenes.curve(self.path, t)
        rows, columns = frame.shape[:2]
        tall, wide = alpha.shape
        left, top = round(x * columns - wide / 2), round(y * rows - tall)
        sx, sy = max(2, wide // 2), max(2, tall // 20)
        scenes.Thing.blend(frame, np.zeros((2 * sy, 2 * sx, 3), np.uint8), scenes.Thing.shadow(sx, sy) * 0.35,
                           left + wide // 2 - sx, top + tall - sy, None)
        if self.gloss:
            mirrored(frame, colour, alpha * self.gloss, left, top + tall)
        scenes.Thing.blend(frame, colour, alpha, left, top, None)


def crowd(spec, rng):
    """Ways of many who cross the place, nearer ones larger."""
    walkers, t = [], spec.get("from", 0.0)
    far, near = spec["feet"]
    who = spec.get("who", ["coat"])
    while t < spec["to"]:
        y = float(rng.uniform(far, near))
        height = float(np.interp(y, (far, near), spec["heights"]))
        left, takes = bool(rng.random() < 0.5), float(rng.uniform(*spec["takes"]))
        a, b = (-0.1, 1.1) if left else (1.1, -0.1)
        walkers.append({"who": who[len(walkers) % len(who)], "mirror": left, "height": height, "layer": y,
                        "path": [[t, a, y], [t + takes, b, float(np.clip(y + rng.normal(0, 0.02), far, near))]]})
        t += float(rng.exponential(spec["every"]))
    return walkers


# ---------------------------------------------------------------- light and weather


class Weather(scenes.Weather):
    """What else happens to the picture as a whole."""

    def __init__(self, effects, place, sources, rng):
        super().__init__(effects, place.size, rng)
        width, height = place.size
        self.ys, self.xs = np.mgrid[0:height, 0:width].astype(np.float32)
        self.ys /= height
        self.xs /= width
        small = rng.normal(0, 1, (height // 4, width // 4)).astype(np.float32)
        rough = cv2.resize(cv2.GaussianBlur(small, (0, 0), 9), place.size)
        fine = cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.2), place.size)
        # Ground is not even: a field between 0 and 1 by whose height water and snow come and go.
        field = rough / rough.std() + 0.35 * fine / fine.std()
        self.uneven = (np.argsort(np.argsort(field.ravel())) / field.size).reshape(field.shape).astype(np.float32)
        self.leaves = sources.leaves() if any(e["kind"] == "branches" for e in effects) else None
        self.flights = rng.uniform(0, 1, (400, 6))
        self.specks = None

    @staticmethod
    def share(t, e):
        """How far a change is that takes place over two times, and then stays."""
        begin, end = e["over"]
        return float(np.clip((t - begin) / (end - begin), 0, 1))

    def sun(self, frame, t, e):
        """The hard edge of a building's shadow, which the sun moves from one place to another."""
        edge = np.interp(self.share(t, e), (0, 1), e["edge"])
        dark = np.clip((edge + e.get("slant", 0) * (self.ys - 0.5) - self.xs) * self.size[0] / 4 + 0.5, 0, 1)
        return (frame * (1 - e["dark"] * dark)[..., None]).astype(np.uint8)

    def branches(self, frame, t, e):
        """Leaves before the camera; gusts move them further."""
        colour, alpha = self.leaves[to_and_fro(int(t * e.get("rate", 10)), len(self.leaves))]
        left, top, right, bottom = (round(v * s) for v, s in zip(e["box"], self.size * 2))
        size = right - left, bottom - top
        # A crown, without the film's own border.
        away = np.hypot(*np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1])))
        alpha = cv2.resize(alpha, size) * np.clip((1 - away) * 5, 0, 1).astype(np.float32)
        gust = e.get("pixels", 3) * (np.sin(t * 0.9) + 0.6 * np.sin(t * 2.3)) * (0.4 + 0.6 * abs(np.sin(t / 17)))
        frame = frame.copy()
        scenes.Thing.blend(frame, cv2.resize(colour, size), alpha, left + round(gust), top, None)
        return frame

    def ground(self, e):
        return self.ys > e.get("horizon", 0.0)

    def snowfall(self, frame, t, e):
        flakes = np.zeros(frame.shape[:2], np.uint8)
        height = self.size[1]
        for _ in range(e["flakes"]):
            x, y = int(self.rng.integers(self.size[0])), int(self.rng.integers(height))
            cv2.circle(flakes, (x, y), int(self.rng.integers(1, max(2, height // 200) + 1)), int(self.rng.integers(90, 200)), -1)
        frame = cv2.addWeighted(frame, 0.88, np.full_like(frame, 190), 0.12, 0)
        return cv2.add(frame, cv2.merge([cv2.GaussianBlur(flakes, (3, 3), 0)] * 3))

    def snowcover(self, frame, t, e):
        """Snow settles, first here, then there."""
        lies = np.clip((self.share(t, e) * e["most"] - self.uneven) * 6 + 0.3, 0, 1) * self.ground(e) * 0.85
        return (frame * (1 - lies[..., None]) + 225 * lies[..., None]).astype(np.uint8)

    def drying(self, frame, t, e):
        """Wet ground, dark, that dries in patches."""
        wet = np.clip((self.uneven - self.share(t, e)) * 12 + 0.5, 0, 1) * self.ground(e)
        return (frame * (1 - e["dark"] * wet)[..., None]).astype(np.uint8)

    def puddle(self, frame, t, e):
        """Water that spreads and mirrors what is above it."""
        (x, y), (wide, tall) = e["place"], e["radius"]
        grown = 0.2 + 0.8 * self.share(t, e)
        away = ((self.xs - x) / (wide * grown)) ** 2 + ((self.ys - y) / (tall * grown)) ** 2
        water = np.clip((1.15 - away - 0.5 * self.uneven) * 5, 0, 1)[..., None]
        ripple = (np.sin(self.ys * 400 + t * 4) * self.size[1] / 400).astype(np.float32)
        mirror = cv2.remap(frame, self.xs * self.size[0], np.clip((2 * y - tall - self.ys) * self.size[1] + ripple, 0, None).astype(np.float32), cv2.INTER_LINEAR)
        return (frame * (1 - water) + (0.45 * frame + 0.3 * mirror) * water).astype(np.uint8)

    def banner(self, frame, t, e):
        """A strip of cloth that flutters."""
        left, top, right, bottom = e["box"]
        wave = 0.012 * np.sin(self.xs * 40 - t * 5) + 0.008 * np.sin(self.xs * 23 + t * 3.1)
        inside = (self.xs > left) & (self.xs < right + wave) & (self.ys + wave > top) & (self.ys + wave < bottom)
        light = 0.85 + 12 * wave
        cloth = np.array(e["colour"], np.float32) * light[..., None]
        letters = (np.sin(self.xs * 160) > 0.2) & (abs(self.ys + wave - (top + bottom) / 2) < (bottom - top) / 5)
        cloth[letters] = 230
        return np.where(inside[..., None], np.clip(cloth, 0, 255), frame).astype(np.uint8)

    def signal(self, frame, t, e):
        """A traffic light's long reflection on wet ground; or an indicator's, with a short round."""
        for begin, end, colour in e["round"]:
            if begin <= t % e["round"][-1][1] < end:
                x, y = e["place"]
                streak = np.exp(-(((self.xs - x) / 0.03) ** 2 + ((self.ys - y) / 0.16) ** 2))
                streak *= 0.75 + 0.25 * np.sin(self.ys * 120 + 3 * t)
                return np.clip(frame + streak[..., None] * np.array(colour, np.float32), 0, 255).astype(np.uint8)
        return frame

    def balance(self, frame, t, e):
        """White balance that wanders: [second, blue, green, red] gains."""
        return np.clip(frame * np.array(scenes.curve(e["curve"], t), np.float32), 0, 255).astype(np.uint8)

    def clock(self, frame, t, e):
        """The camera's own clock, burnt in."""
        x, y = round(e["place"][0] * self.size[0]), round(e["place"][1] * self.size[1])
        text = f"2026-03-02 {12 + int(t) // 3600:02}:{int(t) // 60 % 60:02}:{int(t) % 60:02}"
        frame, size = frame.copy(), self.size[1] / 700
        cv2.putText(frame, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.putText(frame, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 2, cv2.LINE_AA)
        return frame

    def flare(self, frame, t, e):
        """Low sun in the lens: a veil, and ghosts on a line through the middle."""
        grow = np.sin(np.pi * self.share(t, e))
        sx, sy = 0.1 + 0.25 * self.share(t, e), -0.05
        out = frame + (70 * grow * np.exp(-(((self.xs - sx) / 0.5) ** 2 + ((self.ys - sy) / 0.6) ** 2)))[..., None]
        for along, radius, colour in ((0.7, 0.03, (20, 70, 40)), (1.15, 0.06, (60, 40, 20)), (1.6, 0.045, (30, 60, 80))):
            x, y = sx + along * (0.5 - sx) * 1.2, sy + along * (0.5 - sy) * 1.2
            away = np.hypot((self.xs - x) * self.size[0] / self.size[1], self.ys - y)
            out += (np.clip((radius - away) * 60, 0, 1) * grow)[..., None] * np.array(colour, np.float32)
        return np.clip(out, 0, 255).astype(np.uint8)

    def fog(self, frame, t, e):
        """[second, share]: farther away, thicker."""
        (share,) = scenes.curve(e["curve"], t)
        thick = np.clip(share * (1.35 - 0.7 * self.ys), 0, 0.97)[..., None]
        return (frame * (1 - thick) + 175 * thick).astype(np.uint8)

    def haze(self, frame, t, e):
        """Hot air: everything wobbles by so many pixels, each place in its own way."""
        wobble = [e["pixels"] * (np.sin(a * self.ys + b * self.xs + c * t) + np.sin(b * self.ys - a * self.xs + 1.7 * c * t))
                  for a, b, c in ((47, 31, 9.0), (29, 53, 7.0))]
        return cv2.remap(frame, (self.xs * self.size[0] + wobble[0]).astype(np.float32),
                         (self.ys * self.size[1] + wobble[1]).astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

    def web(self, frame, t, e):
        """Threads of a spider close to the lamp, and insects that fly by or sit on the glass."""
        glow = np.zeros(frame.shape[:2], np.uint8)
        width, height = self.size
        for thread in self.flights[:5]:
            sway = 0.02 * np.sin(t * (0.6 + thread[4]) + 6 * thread[5])
            a = int((thread[0] + sway) * width), int(-0.1 * height)
            b = int((thread[1] + sway * 2) * width), int((0.5 + 0.6 * thread[2]) * height)
            cv2.line(glow, a, b, 70, max(1, height // 200), cv2.LINE_AA)
        glow = cv2.GaussianBlur(glow, (0, 0), height / 250)
        for begin, x, y, dx, dy, far in self.flights[5:]:
            age = t - begin * e["during"]
            if not 0 <= age < 1.2:
                continue
            x, y = x + (dx - 0.5) * 1.5 * age, y + (dy - 0.5) * age + 0.03 * np.sin(30 * age)
            cv2.circle(glow, (int(x * width), int(y * height)), int((0.006 + 0.02 * far) * height), int(110 + 100 * (1 - far)), -1)
        glow = cv2.GaussianBlur(glow, (0, 0), height / 300)
        return cv2.add(frame, cv2.merge([glow] * 3))

    def gain(self, frame, t, e):
        """A sensor's noise when there is little light: coarse, coloured specks."""
        width, height = self.size[0] // 2, self.size[1] // 2
        if self.specks is None:
            self.specks = self.rng.normal(0, e["sigma"], (height + 160, width + 160, 3)).astype(np.float32)
        x, y = self.rng.integers(160, size=2)
        specks = cv2.resize(self.specks[y : y + height, x : x + width], self.size, interpolation=cv2.INTER_LINEAR)
        return np.clip(frame + specks, 0, 255).astype(np.uint8)

    def blocks(self, frame, t, e):
        """An old coding at a smaller `size`, enlarged afterwards, with its blocks."""
        small = cv2.resize(frame, e["size"], interpolation=cv2.INTER_AREA)
        _, coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, e["quality"]])
        return cv2.resize(cv2.imdecode(coded, cv2.IMREAD_COLOR), self.size, interpolation=cv2.INTER_LINEAR)


# ---------------------------------------------------------------- putting it together


def encoder(scenario, size, fps, out):
    """What cameras send: `[coding]` codec, seconds between key frames, kbit/s, B-frames."""
    coding = scenario.get("coding", {})
    every = str(round(coding.get("key_every", 2) * fps))
    b = str(coding.get("b_frames", 0))
    if coding.get("codec", "h264") == "h265":
        options = ["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params",
                   f"keyint={every}:min-keyint={every}:scenecut=0:bframes={b}:open-gop=0:log-level=error:pools=1:frame-threads=1"]
    else:
        options = ["-c:v", "libx264", "-preset", "veryfast", "-bf", b, "-g", every, "-keyint_min", every,
                   "-sc_threshold", "0", "-threads", "1"]
    if "kbps" in coding:
        rate = f"{coding['kbps']}k"
        options += ["-b:v", rate, "-maxrate", rate, "-bufsize", rate]
    elif coding.get("codec", "h264") == "h264":
        options += ["-crf", "24"]
    return subprocess.Popen(
        ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24",
         "-s", f"{size[0]}x{size[1]}", "-r", str(fps), "-i", "-", "-an", *options, "-pix_fmt", "yuv420p", str(out)],
        stdin=subprocess.PIPE)


class Scene:
    """A scenario's pictures, to be asked for in the order of their times."""

    def __init__(self, path, sources):
        with open(path, "rb") as file:
            self.scenario = scenario = tomllib.load(file)
        rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
        self.size, self.fps = scenario.get("size", [640, 480]), scenario.get("fps", 10)
        self.place = place = Place(scenario["base"], self.size, sources)
        things = [Thing(spec, place, sources, rng) for spec in scenario.get("object", [])]
        people = scenario.get("walker", []) + [w for spec in scenario.get("crowd", []) for w in crowd(spec, rng)]
        walkers = [Walker(spec, place, sources) for spec in people]
        for one in things + walkers:
            # How much the floor shines.
            one.gloss = scenario.get("gloss", 0.0)
        self.layers = sorted(things + walkers, key=lambda one: one.layer)
        effects = scenario.get("effect", [])
        # What lies on the ground lies below things and people.
        self.below = [e for e in effects if e.get("below")]
        self.weather = Weather([e for e in effects if not e.get("below")], place, sources, rng)
        self.before = None

    def at(self, t):
        frame = self.place.plate.copy()
        for effect in self.below:
            frame = getattr(self.weather, effect["kind"])(frame, t, effect)
        for play in self.scenario.get("play", []):
            into = (t - play["at"]) * play.get("rate", 1.0)
            if 0 <= into < play["to"] - play["from"]:
                shown, mask = self.place.people(play["from"] + into, play.get("only"))
                frame = cv2.blendLinear(shown, frame, mask, 1 - mask)
        for one in self.layers:
            one.draw(frame, t)
        frame = self.weather.apply(frame, t)
        if not self.scenario.get("interlaced"):
            return frame
        woven = frame.copy()
        if self.before is not None:
            # Every other line is one picture older.
            woven[1::2] = self.before[1::2]
        self.before = frame
        return woven


def make(path, out, sources):
    scene = Scene(path, sources)
    process = encoder(scene.scenario, scene.size, scene.fps, out)
    for index in range(round(scene.scenario["seconds"] * scene.fps)):
        process.stdin.write(np.ascontiguousarray(scene.at(index / scene.fps)).tobytes())
    process.stdin.close()
    if process.wait() != 0:
        sys.exit("ffmpeg could not encode the clip")


if __name__ == "__main__":
    parser = scenes.command_line(__doc__)
    parser.add_argument("--examples", type=pathlib.Path, required=True)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    make(given.scenario, given.out, Sources(given.carpark, given.data, given.examples))
