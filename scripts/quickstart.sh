#!/usr/bin/env bash
# The first five minutes: install into a virtual environment of its own, make a small demo production and its
# bins_cuts_dict, convert it to a shuffled and split dataset, and draw some of its images. Can be run again.
# PYTHON chooses the interpreter (default: python3).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv-quickstart
folder=demo_production

[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
echo "installing into $venv ..."
"$venv/bin/python" -m pip install --quiet --upgrade '.[scripts]'
PATH=$PWD/$venv/bin:$PATH

echo "making four runs in $folder ..."
scripts/make_demo.sh "$folder" python
python -m image_extractor.demo.cuts "$folder/*.simtel.gz" "$folder/bins_cuts_dict.pkl" aux/config/demo.config

echo "converting ..."
image_extractor.py "$folder/*.simtel.gz" "$folder/dataset.h5" aux/config/demo.config "$folder/bins_cuts_dict.pkl" \
    --shuffle --split
visualize_events.py "$folder/dataset.h5" --random 4 --seed 1 --together --output "$folder/images.png"
read_data.py "$folder/dataset.h5" --html "$folder/report.html"
