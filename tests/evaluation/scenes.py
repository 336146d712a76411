"""Makes one scenario's clip: real footage, things put into it at known times, and weather.

    scenes.py SCENARIO.toml OUT.mp4 --carpark VTEST.mp4 --data FOLDER

FOLDER holds `footage/` (the two Intel clips) and `trashbags/`. The same scenario gives the same
pictures: all chance comes from the scenario's name. What may stand in a scenario, and what of it
is real, is written down in docs/evaluation.md.
"""

import argparse
import pathlib
import subprocess
import sys
import tomllib
import zlib

import cv2
import numpy as np

FPS = 10
KEY_EVERY = 2  # seconds

# Where each footage is empty, as ranges of its frames: the median of these is the plate.
FOOTAGE = {
    "carpark": {"file": None, "fps": 10, "size": (640, 480), "empty": [(0, 795)]},
    "hall": {
        "file": "footage/intel_one-by-one-person-detection.mp4",
        "fps": 10,
        "size": (640, 360),
        "empty": [(0, 60), (203, 222), (455, 500), (705, 745), (875, 920), (1205, 1230), (1362, 1390)],
    },
    "lane": {
        "file": "footage/intel_car-detection.mp4",
        "fps": 12.5,
        "size": (640, 360),
        "empty": [(0, 50), (120, 180), (250, 290)],
    },
}


class Footage:
    """Frames of one recording and the same view with nobody in it."""

    def __init__(self, name, carpark, data):
        known = FOOTAGE[name]
        path = carpark if known["file"] is None else data / known["file"]
        capture = cv2.VideoCapture(str(path))
        self.frames, self.fps, self.size = [], known["fps"], known["size"]
        while True:
            more, frame = capture.read()
            if not more:
                break
            self.frames.append(cv2.resize(frame, self.size, interpolation=cv2.INTER_AREA))
        if not self.frames:
            sys.exit(f"{path}: no video that can be read")
        chosen = [i for a, b in known["empty"] for i in range(a, min(b, len(self.frames)))]
        chosen = chosen[:: max(1, len(chosen) // 40)]
        self.plate = np.median([self.frames[i] for i in chosen], axis=0).astype(np.uint8)

    def at(self, seconds):
        index = int(seconds * self.fps + 1e-6)
        return self.frames[min(max(index, 0), len(self.frames) - 1)]

    def people(self, frame):
        """Soft mask, 0 to 1, of what is in this frame and not in the plate."""
        apart = cv2.absdiff(frame, self.plate).max(axis=2)
        apart = cv2.GaussianBlur(apart, (5, 5), 0)
        mask = (apart > 20).astype(np.uint8) * 255
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return cv2.GaussianBlur(mask, (3, 3), 0).astype(np.float32) / 255


# ---------------------------------------------------------------- things


def bag(data, index):
    """The index-th labelled bag that is large and whole, cut out by its box and GrabCut."""
    labels = sorted((data / "trashbags/train/labels").glob("*.txt"))
    found = -1
    for label in labels:
        for line in label.read_text().split("\n"):
            fields = line.split()
            if len(fields) != 5:
                continue
            x, y, w, h = map(float, fields[1:])
            whole = x - w / 2 > 0.03 and x + w / 2 < 0.97 and y - h / 2 > 0.03 and y + h / 2 < 0.97
            if not whole or w * h < 0.05:
                continue
            found += 1
            if found < index:
                continue
            image = cv2.imread(str(label.parent.parent / "images" / (label.stem + ".jpg")))
            rows, columns = image.shape[:2]
            left, top = int((x - w / 2) * columns), int((y - h / 2) * rows)
            width, height = int(w * columns), int(h * rows)
            cv2.setRNGSeed(7)
            mask = np.zeros((rows, columns), np.uint8)
            cv2.grabCut(image, mask, (left, top, width, height), np.zeros((1, 65)),
                        np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_RECT)
            alpha = np.where((mask == 1) | (mask == 3), 255, 0).astype(np.uint8)
            alpha = cv2.morphologyEx(alpha, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
            cut = np.s_[top : top + height, left : left + width]
            if alpha[cut].mean() < 90:
                # GrabCut found next to nothing: a rounded box does.
                alpha[cut] = 0
                cv2.ellipse(alpha, (left + width // 2, top + height // 2),
                            (int(width * 0.48), int(height * 0.48)), 0, 0, 360, 255, -1)
            return image[cut].copy(), alpha[cut].copy()
    sys.exit(f"no bag {index} among the pictures")


def rubble(rng):
    """A heap of broken bricks and concrete."""
    colour, alpha = np.zeros((160, 260, 3), np.uint8), np.zeros((160, 260), np.uint8)
    shades = [(70, 90, 150), (120, 125, 130), (90, 110, 140), (150, 155, 160), (60, 65, 70)]
    for _ in range(220):
        x = rng.normal(130, 52)
        room = max(0.0, 1 - abs(x - 130) / 130)
        y = 155 - rng.random() * 140 * room
        size = rng.uniform(6, 22)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 5))
        points = np.stack([x + size * np.cos(angles), y + 0.7 * size * np.sin(angles)], 1).astype(np.int32)
        shade = np.array(shades[rng.integers(len(shades))]) * rng.uniform(0.6, 1.2)
        cv2.fillPoly(colour, [points], tuple(float(v) for v in np.clip(shade, 0, 255)))
        cv2.fillPoly(alpha, [points], 255)
    return colour, alpha


def sofa(rng):
    """A dark armchair: seat, back and arms, shaded."""
    colour, alpha = np.zeros((180, 240, 3), np.uint8), np.zeros((180, 240), np.uint8)
    base = np.array([40, 45, 95]) * rng.uniform(0.8, 1.2)
    for (x0, y0, x1, y1), light in [((30, 10, 210, 110), 0.8), ((10, 70, 60, 170), 1.0),
                                    ((180, 70, 230, 170), 1.0), ((50, 100, 190, 150), 1.3), ((30, 150, 210, 175), 0.5)]:
        cv2.rectangle(colour, (x0, y0), (x1, y1), tuple(float(v) for v in np.clip(base * light, 0, 255)), -1)
        cv2.rectangle(alpha, (x0, y0), (x1, y1), 255, -1)
    grain = cv2.GaussianBlur(rng.normal(0, 22, colour.shape[:2]).astype(np.float32), (5, 5), 0)
    return np.clip(colour + grain[..., None], 0, 255).astype(np.uint8), alpha


def carton(rng):
    """Cardboard boxes on each other."""
    colour, alpha = np.zeros((180, 200, 3), np.uint8), np.zeros((180, 200), np.uint8)
    for x0, y0, x1, y1 in [(5, 80, 110, 178), (95, 95, 195, 178), (45, 10, 140, 84)]:
        shade = np.array([95, 140, 180]) * rng.uniform(0.75, 1.15)
        cv2.rectangle(colour, (x0, y0), (x1, y1), tuple(float(v) for v in shade), -1)
        cv2.rectangle(colour, (x0, y0), (x1, y0 + 14), tuple(float(v) for v in np.clip(shade * 1.25, 0, 255)), -1)
        cv2.line(colour, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), tuple(float(v) for v in shade * 0.6), 4)
        cv2.rectangle(alpha, (x0, y0), (x1, y1), 255, -1)
    return colour, alpha


def van(footage):
    """The van that is parked in the car park's upper right, cut out of the plate."""
    if footage.size != (640, 480):
        sys.exit("the van stands in the car park's footage only")
    left, top, right, bottom = 541, 38, 604, 86
    colour = footage.plate[top:bottom, left:right].copy()
    alpha = np.zeros(colour.shape[:2], np.uint8)
    outline = [(2, 22), (9, 8), (16, 4), (50, 3), (59, 14), (61, 32), (60, 40), (52, 46), (40, 44), (12, 44), (3, 38)]
    cv2.fillPoly(alpha, [np.array(outline)], 255)
    return colour, alpha


def picture(spec, footage, data, rng):
    what = spec["picture"]
    if what.startswith("bag"):
        return bag(data, int(what[3:] or 0))
    if what == "van":
        return van(footage)
    if what == "patch":
        # A piece of the place itself: laid over a thing, it takes the thing away.
        height, width = footage.plate.shape[:2]
        left, top, right, bottom = spec["of"]
        cut = footage.plate[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
        alpha = np.zeros(cut.shape[:2], np.uint8)
        alpha[2:-2, 2:-2] = 255
        return cut.copy(), alpha
    return {"rubble": rubble, "sofa": sofa, "carton": carton}[what](rng)


class Thing:
    """Something with a place, from one time to another."""

    def __init__(self, spec, footage, data, rng):
        width, height = footage.size
        colour, alpha = picture(spec, footage, data, rng)
        self.spec = spec
        tall = max(3, round(spec["height"] * height))
        wide = max(3, round(tall * colour.shape[1] / colour.shape[0]))
        self.colour = cv2.resize(colour, (wide, tall), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(alpha, (wide, tall), interpolation=cv2.INTER_AREA)
        self.alpha = cv2.GaussianBlur(alpha, (3, 3), 0).astype(np.float32) / 255
        light = spec.get("light", 1.0)
        self.colour = np.clip(self.colour * light, 0, 255).astype(np.uint8)

    def place(self, t):
        """Middle of its lower edge at time t, as fractions."""
        path = self.spec.get("path")
        if path is None:
            return self.spec["place"]
        times = [p[0] for p in path]
        return [float(np.interp(t, times, [p[i] for p in path])) for i in (1, 2)]

    def put(self, frame, t, cover):
        """Draws it into the frame under whatever `cover` (a mask, or None) hides it."""
        spec = self.spec
        begin, end = spec["from"], spec.get("to", 1e9)
        if not begin <= t < end:
            return
        fade = min(1.0, (t - begin + 0.1) / 0.3)
        rows, columns = frame.shape[:2]
        x, y = self.place(t)
        tall, wide = self.alpha.shape
        left, top = round(x * columns - wide / 2), round(y * rows - tall)
        # A soft shadow where it touches the ground.
        sx, sy = max(2, wide // 2), max(2, tall // 8)
        if spec["picture"] != "patch":
            self.blend(frame, np.zeros((2 * sy, 2 * sx, 3), np.uint8), self.shadow(sx, sy) * 0.45 * fade,
                       left + wide // 2 - sx, top + tall - sy, cover)
        self.blend(frame, self.colour, self.alpha * fade, left, top, cover)

    @staticmethod
    def shadow(sx, sy):
        ys, xs = np.mgrid[-sy:sy, -sx:sx]
        return np.clip(1.3 - ((xs / sx) ** 2 + (ys / sy) ** 2), 0, 1).astype(np.float32)

    @staticmethod
    def blend(frame, colour, alpha, left, top, cover):
        rows, columns = frame.shape[:2]
        tall, wide = alpha.shape
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, columns), min(top + tall, rows)
        if x0 >= x1 or y0 >= y1:
            return
        part = np.s_[y0:y1, x0:x1]
        own = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        a = alpha[own]
        if cover is not None:
            a = a * (1 - cover[part])
        a = a[..., None]
        frame[part] = (frame[part] * (1 - a) + colour[own] * a).astype(np.uint8)


# ---------------------------------------------------------------- light and weather


def curve(points, t):
    times = [p[0] for p in points]
    return [float(np.interp(t, times, [p[i] for p in points])) for i in range(1, len(points[0]))]


def active(effect, t):
    return effect.get("from", 0) <= t < effect.get("to", 1e9)


class Weather:
    """Everything that happens to the picture as a whole."""

    def __init__(self, effects, size, rng):
        self.effects, self.size, self.rng = effects, size, rng
        width, height = size
        # One large field of noise, of which each frame gets another part; kept ready per strength.
        field = rng.normal(0, 1, (height + 240, width + 240)).astype(np.float32)
        self.field = cv2.merge([field] * 3)
        self.scaled = {}
        self.drift = np.zeros(2)
        self.frozen = None

    def apply(self, frame, t):
        noise = 1.5
        for effect in self.effects:
            if effect["kind"] == "noise" and active(effect, t):
                noise = effect["sigma"]
            elif effect["kind"] == "freeze" and active(effect, t):
                if self.frozen is None:
                    self.frozen = frame.copy()
                return self.frozen.copy()
            elif effect["kind"] != "noise" and active(effect, t):
                frame = getattr(self, effect["kind"])(frame, t, effect)
        return self.grain(frame, noise)

    def grain(self, frame, sigma):
        if sigma <= 0:
            return frame
        rng = self.rng
        if sigma not in self.scaled:
            self.scaled[sigma] = np.rint(self.field * sigma).astype(np.int16)
        x, y = int(rng.integers(240)), int(rng.integers(240))
        width, height = self.size
        part = np.ascontiguousarray(self.scaled[sigma][y : y + height, x : x + width])
        return cv2.add(frame, part, dtype=cv2.CV_8U)

    def light(self, frame, t, e):
        """Gain and gamma along a curve: [seconds, gain, gamma] points."""
        gain, gamma = curve(e["curve"], t)
        table = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
        return cv2.LUT(frame, table)

    def lamp(self, frame, t, e):
        """A lamp that is on: light falls off from its middle."""
        width, height = self.size
        x, y = e["place"]
        ys, xs = np.mgrid[0:height, 0:width]
        away = ((xs / width - x) / e["radius"]) ** 2 + ((ys / height - y) / e["radius"]) ** 2
        return np.clip(frame * (1 + e["gain"] * np.exp(-away))[..., None], 0, 255).astype(np.uint8)

    def headlights(self, frame, t, e):
        """Two cones that sweep from one side to the other."""
        width, height = self.size
        share = (t - e["from"]) / (e["to"] - e["from"])
        middle = -0.3 + 1.6 * share
        ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
        glow = np.zeros((height, width), np.float32)
        for offset in (-0.05, 0.05):
            glow += np.exp(-(((xs / width - middle - offset) / 0.12) ** 2 + ((ys / height - 0.72) / 0.16) ** 2))
        return np.clip(frame * (1 + e["gain"] * glow)[..., None] + (20 * glow)[..., None], 0, 255).astype(np.uint8)

    def cloud(self, frame, t, e):
        """The soft edge of a cloud's shadow that moves across, and its other edge after it."""
        width, _ = self.size
        share = (t - e["from"]) / (e["to"] - e["from"])
        xs = np.arange(width) / width
        front = 1 / (1 + np.exp((xs - (-0.4 + 3 * share)) / 0.05))
        back = 1 / (1 + np.exp((xs - (-1.6 + 3 * share)) / 0.05))
        return (frame * (1 - e["dark"] * (front - back))[None, :, None]).astype(np.uint8)

    def grey(self, frame, t, e):
        """Colour fades, as in the dark."""
        grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        return cv2.addWeighted(frame, 1 - e["share"], grey, e["share"], 0)

    def infrared(self, frame, t, e):
        """The camera has swung its filter away: grey, plants bright, light from the camera."""
        blue, green, red = cv2.split(frame.astype(np.float32))
        value = 0.1 * blue + 1.1 * green + 0.1 * red
        width, height = self.size
        ys, xs = np.mgrid[0:height, 0:width]
        spot = 1.1 - 0.9 * ((xs / width - 0.5) ** 2 + (ys / height - 0.6) ** 2) * 2
        return cv2.cvtColor(np.clip(value * spot * e.get("gain", 0.9), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)

    def rain(self, frame, t, e):
        """Streaks, a lower contrast, and on the ground wet glints that flicker."""
        width, height = self.size
        rng = self.rng
        streaks = np.zeros((height, width), np.uint8)
        for _ in range(e["drops"]):
            x, y = int(rng.integers(width)), int(rng.integers(height))
            length = int(rng.integers(8, 26))
            cv2.line(streaks, (x, y), (x + length // 6, y + length), int(rng.integers(50, 130)), 1)
        streaks = cv2.GaussianBlur(streaks, (3, 3), 0)
        frame = cv2.addWeighted(frame, 0.85, np.full_like(frame, 120), 0.15, 0)
        wet = e.get("wet", 0.0)
        if wet > 0:
            ground = height // 2
            lower = frame[ground:]
            mirror = cv2.flip(frame[max(0, ground - lower.shape[0]) : ground], 0)
            mirror = cv2.resize(cv2.GaussianBlur(mirror, (1, 31), 0), (width, lower.shape[0]))
            ripple = 0.5 + 0.5 * np.sin(t * 5 + np.arange(lower.shape[0]) / 3.0)
            share = (wet * ripple)[:, None, None]
            frame = frame.copy()
            frame[ground:] = np.clip(lower * (1 - share) + mirror * share, 0, 255).astype(np.uint8)
        return cv2.add(frame, cv2.merge([streaks] * 3))

    def shake(self, frame, t, e):
        """Wind on the mast: a few pixels to and fro."""
        self.drift = 0.7 * self.drift + self.rng.normal(0, e["pixels"] * 0.7, 2)
        dx, dy = np.clip(self.drift, -2.5 * e["pixels"], 2.5 * e["pixels"])
        return self.moved(frame, dx, dy, 0, 1)

    def move(self, frame, t, e):
        """The camera has been turned, and stays so."""
        width, height = self.size
        dx, dy = e.get("by", [0, 0])
        return self.moved(frame, dx * width, dy * height, e.get("degrees", 0), e.get("zoom", 1))

    def moved(self, frame, dx, dy, degrees, zoom):
        width, height = self.size
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
        matrix[:, 2] += (dx, dy)
        return cv2.warpAffine(frame, matrix, self.size, borderMode=cv2.BORDER_REFLECT)

    def cover(self, frame, t, e):
        """Something hangs before the lens."""
        return np.full_like(frame, e.get("value", 60)) + (frame // 64)

    def defocus(self, frame, t, e):
        return cv2.GaussianBlur(frame, (0, 0), e["sigma"])

    def black(self, frame, t, e):
        return np.zeros_like(frame)


# ---------------------------------------------------------------- putting it together


def visits(scenario, rng):
    """Pieces of the footage at random times, for long recordings: `every` is the mean pause."""
    plays = []
    for spec in scenario.get("visits", []):
        t = spec.get("from", 10.0)
        while True:
            t += rng.exponential(spec["every"])
            begin, end = spec["pieces"][rng.integers(len(spec["pieces"]))]
            if t + (end - begin) > min(spec.get("to", 1e9), scenario["seconds"]):
                break
            plays.append({"at": t, "from": begin, "to": end})
            t += end - begin
    return plays


def make(path, out, carpark, data):
    with open(path, "rb") as file:
        scenario = tomllib.load(file)
    rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
    footage = Footage(scenario["base"], carpark, data)
    things = [Thing(spec, footage, data, rng) for spec in scenario.get("object", [])]
    weather = Weather(scenario.get("effect", []), footage.size, rng)
    fps = scenario.get("fps", FPS)
    plays = scenario.get("play", []) + visits(scenario, rng)
    width, height = footage.size
    encoder = subprocess.Popen(
        ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24",
         "-s", f"{width}x{height}", "-r", str(fps), "-i", "-", "-an", "-c:v", "libx264",
         "-preset", "veryfast", "-crf", "24", "-bf", "0", "-g", str(KEY_EVERY * fps), "-keyint_min", str(KEY_EVERY * fps),
         "-sc_threshold", "0", "-threads", "1", "-pix_fmt", "yuv420p", str(out)],
        stdin=subprocess.PIPE)
    for index in range(round(scenario["seconds"] * fps)):
        t = index / fps
        frame, cover = footage.plate.copy(), None
        for play in plays:
            # A rate below 1 makes people linger who in the footage only stop.
            into = (t - play["at"]) * play.get("rate", 1.0)
            if not 0 <= into < play["to"] - play["from"]:
                continue
            shown = footage.at(play["from"] + into)
            mask = footage.people(shown)
            if "only" in play:
                polygon = np.array([[x * width, y * height] for x, y in play["only"]], np.int32)
                within = np.zeros((height, width), np.float32)
                cv2.fillPoly(within, [polygon], 1.0)
                within = cv2.GaussianBlur(within, (15, 15), 0)
                mask *= within
            if scenario["base"] == "lane" and "only" not in play:
                # Its exposure follows the cars: the whole picture, as it is.
                frame = shown.copy()
            else:
                frame = cv2.blendLinear(shown, frame, mask, 1 - mask)
            cover = mask if cover is None else np.maximum(cover, mask)
        for thing in things:
            thing.put(frame, t, None if thing.spec.get("in_front") else cover)
        encoder.stdin.write(weather.apply(frame, t).tobytes())
    encoder.stdin.close()
    if encoder.wait() != 0:
        sys.exit("ffmpeg could not encode the clip")


def command_line(about):
    """What every maker of clips is told."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("scenario", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--carpark", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    return parser


if __name__ == "__main__":
    given = command_line(__doc__).parse_args()
    cv2.setNumThreads(1)
    make(given.scenario, given.out, given.carpark, given.data)
