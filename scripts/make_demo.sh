#!/usr/bin/env bash
# Make the demo production of the README: two gamma runs and two proton runs, always the same bytes.
# Arguments: the folder, and the Python to use. Files that are there are kept.
set -euo pipefail
folder=${1:-demo_production}
python=${2:-python3}
mkdir -p "$folder"
make() { # primary, run, events
    file=$folder/$1_run$2.simtel.gz
    [ -e "$file" ] || "$python" -m image_extractor.demo "$file" --primary "$1" --run "$2" --seed "$2" --events "$3" \
        --telescopes LST:4,MSTN:4,SCT:4,SSTC:4 --energy 0.1,10
}
make gamma 1 40
make gamma 2 40
make proton 101 40
make proton 102 40
