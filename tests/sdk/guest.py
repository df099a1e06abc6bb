"""What `emulated.py` runs inside the emulated machine: print the faces of photographs.

Not by `Detector`, which looks into strangers' files with packages that are not in there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ultraface_deploy.agreement.precision import parse_precision
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.pipeline import PostprocessOptions, postprocess, preprocess
from ultraface_deploy.safe.images import read_image

artifacts, runtime, precision_name, *photographs = sys.argv[1:]
folder, precision = ArtifactFolder.open(artifacts), parse_precision(precision_name)
files = folder.files(folder.find(runtime, precision))
session = get_backend(runtime).load(files, folder.spec, 1, precision)
found = []
for path in photographs:
    image = read_image(Path(path))
    outputs = session.run(preprocess(image, folder.spec))
    size = (image.shape[1], image.shape[0])
    faces = postprocess(
        outputs["scores"], outputs["boxes"], folder.spec, size, PostprocessOptions()
    )
    found.append([faces.boxes.tolist(), faces.scores.tolist(), faces.labels.tolist()])
print(json.dumps(found))
