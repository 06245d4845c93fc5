"""What is wrong: one idea per file, each a state machine over batches; rules as data in ``detectors/rules/*.toml``.

A detector measures (:mod:`detectors.base`), the ladder judges (:mod:`detectors.ladder`), the alarm holds
(:mod:`detectors.alarm`). Importing this package registers the house's detectors; a new one is a new file and one line here.
"""

from detectors import accumulation as accumulation
from detectors import alarm_bits as alarm_bits
from detectors import change_point as change_point
from detectors import counter as counter
from detectors import dark_lamps as dark_lamps
from detectors import dumping as dumping
from detectors import excess as excess
from detectors import geofence as geofence
from detectors import group_watch as group_watch
from detectors import implied_speed as implied_speed
from detectors import lexicon as lexicon
from detectors import lid_open as lid_open
from detectors import neighbour_drift as neighbour_drift
from detectors import overspeed as overspeed
from detectors import rate_of_change as rate_of_change
from detectors import report_rate as report_rate
from detectors import river_model as river_model
from detectors import robust_z as robust_z
from detectors import silence as silence
from detectors import stream_silence as stream_silence
from detectors import stuck as stuck
from detectors import threshold as threshold
from detectors import trip_silence as trip_silence
from detectors import unusual as unusual
from detectors import vibration as vibration
from detectors import video_persistence as video_persistence
