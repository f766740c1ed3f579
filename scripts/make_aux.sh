#!/usr/bin/env bash
# Remake aux/bins_cuts_dict/ from the demo production. Arguments: its folder, and the Python to use.
set -euo pipefail
folder=${1:-demo_production}
python=${2:-python3}
root=$(dirname "$0")/..
"$root/scripts/make_demo.sh" "$folder" "$python"
dictionaries=$root/aux/bins_cuts_dict
configs=$root/aux/config
"$python" -m image_extractor.demo.cuts "$folder/*.simtel.gz" "$dictionaries/bins_cuts_dict.pkl" "$configs/test_pytables.config"
"$python" -m image_extractor.demo.cuts "$folder/*.simtel.gz" "$dictionaries/bins_cuts_dict_1bin.pkl" "$configs/test_pytables_1bin.config"
