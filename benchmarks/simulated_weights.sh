#!/usr/bin/env bash
# Make, judge and put in place the SIMULATED weights that ship with xsaga: the commands a user would
# give, on skies of different seeds. Run from the root of the repository, with xsaga on the path.
#
#     benchmarks/simulated_weights.sh FOLDER
#
# FOLDER needs about 40 GB. What is there already is not made again. Times are in RESULTS.md. Each
# sky lies astride Dec = 32.375, half in the south (DECam), half in the north (BASS and MzLS).
set -euo pipefail
folder=${1:?give a folder for skies, cutouts and models}
name=simulated
cores=$(nproc)
mkdir -p "$folder"

sky() {  # NAME CENTER BRICKS SEED [OPTION...]: a simulated sky and its labels
    local sky=$folder/$1-simulated
    if [ ! -d "$sky" ]; then
        xsaga simulate "$sky" --center "$2" --bricks "$3" --seed "$4" --workers "$cores" "${@:5}"
    fi
}

# To learn from: the sky as it is, and 500 more galaxies in each brick as the sky has them, but for
# the share of near ones, a quarter.
sky training 150.0,32.375 96 2026 --training 500
xsaga labels "$folder/training-simulated/redshifts-simulated.parquet" \
    --photometry "$folder/training-simulated/sweep" --group-order 7 \
    --out "$folder/training-labels.parquet"
xsaga train --labels "$folder/training-labels.parquet" --bricks "$folder/training-simulated" \
    --r-min 16.5 --r-max 21.3 --folds 4 --members 3 --epochs 10 --name $name \
    --out "$folder/training"

# To calibrate on: the sky as it is, through the cuts that the weights will be used with. A run that
# ends with 3 has told of cutouts that could not be had; it is done all the same.
sky calibration 240.0,32.375 128 178
xsaga labels "$folder/calibration-simulated/redshifts-simulated.parquet" \
    --photometry "$folder/calibration-simulated/sweep" --separation 0 \
    --out "$folder/calibration-labels.parquet"
xsaga run --catalog "$folder/calibration-simulated/sweep" \
    --bricks "$folder/calibration-simulated" --cuts desi-lowz \
    --weights "$folder/training/model" --out "$folder/calibration-run" || [ $? = 3 ]
if [ ! -d "$folder/$name" ]; then
    xsaga calibrate "$folder/calibration-run" --labels "$folder/calibration-labels.parquet" \
        --out "$folder/$name"
fi

# To be judged on: other seeds, places, PSFs and depths; the sky as it is.
sky held-out 195.0,32.375 84 177
xsaga labels "$folder/held-out-simulated/redshifts-simulated.parquet" \
    --photometry "$folder/held-out-simulated/sweep" --separation 0 \
    --out "$folder/held-out-labels.parquet"
xsaga run --catalog "$folder/held-out-simulated/sweep" --bricks "$folder/held-out-simulated" \
    --cuts desi-lowz --weights "$folder/$name" --out "$folder/run" || [ $? = 3 ]
xsaga evaluate "$folder/run" --labels "$folder/held-out-labels.parquet" \
    --baseline-training "$folder/training-simulated/sweep" \
    --baseline-labels "$folder/training-labels.parquet" --out "$folder/evaluation"

mkdir -p weights/$name
cp "$folder/$name/"* weights/$name/
cp -r "$folder/evaluation" weights/$name/
