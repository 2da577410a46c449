"""Makes the manifest of a programs/ folder agree with its files."""
import hashlib
import json
import sys

folder = sys.argv[1]
manifest = json.load(open(folder + "/manifest.json"))
for file in manifest["files"]:
    data = open(folder + "/" + file["path"], "rb").read()
    file["bytes"] = len(data)
    file["sha256"] = hashlib.sha256(data).hexdigest()
json.dump(manifest, open(folder + "/manifest.json", "w"), indent=1)
