"""Values of core_pos_mode: how a run throws its cores."""

#: Values of core_pos_mode: where cores fall. Numbers but the last are those of sim_telarray's MC run header, whose file
#: io_hess.h says "Core position fixed/circular/rectangular/..." and core_range "rmin+rmax or dx+dy" (hessioxxx, in
#: pyeventio's repository); EventDisplay's VMonteCarloRunHeader prints 0 fixed, 1 circular, 2 rectangular; hessioxxx's
#: user_analysis.c takes core_range[1] for the radius where it is 1, and real files with circles have 1. ctapipe's
#: description "0=Circular, 1=Rectangular" is wrong: its own test has 1 for a circle of 3 km.
CORE_FIXED, CORE_CIRCLE, CORE_RECTANGLE = 0, 1, 2
#: Ours: events of the run have area weights (MCEvent, version 2): cores were drawn by importance (CORSIKA's TELSAMPLE).
AREA_WEIGHTED = -1
#: Ours: of datasets of format 1.0, which did not store it; taken for a circle.
CORE_UNKNOWN = -2
