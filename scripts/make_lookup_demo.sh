#!/usr/bin/env bash
# Make the production of the README's example of lookup tables: 1,000 gammas that fill them, and 500 gammas and
# 500 protons to select; four LSTs and six MSTs, always the same bytes. Arguments: the folder, and the Python to use.
# Files that are there are kept.
set -euo pipefail
folder=${1:-lookup_production}
python=${2:-python3}
mkdir -p "$folder/tables" "$folder/test"

runs() { # folder and primary, first run, number of runs
    for run in $(seq "$2" $(($2 + $3 - 1))); do echo "$1" "$run"; done
}

export folder python
{ runs tables/gamma 1 10; runs test/gamma 1001 5; runs test/proton 1 5; } | xargs -P "$(nproc)" -L 1 bash -c '
    file=$folder/$0_run$1.simtel.zst
    [ -e "$file" ] || "$python" -m image_extractor.demo "$file" --primary "${0#*/}" --run "$1" --seed "$1" --events 100 \
        --telescopes LST:4,MSTN:6
'
