"""boto3's CRT client moves files in and out: prints the seconds of each, and the most resident memory in MB.

boto3 itself makes that client for https alone (`boto3.crt`), so it is made here as boto3 makes it, but for http.
"""

import json
import resource
import sys
import time

import botocore.session
from botocore.config import Config
from s3transfer.crt import (
    BotocoreCRTCredentialsWrapper,
    BotocoreCRTRequestSerializer,
    CRTTransferManager,
    create_s3_crt_client,
)

endpoint, region, bucket, source, target, file, *suffixes = sys.argv[1:]
session = botocore.session.Session()
config = Config(s3={"addressing_style": "path"})
serializer = BotocoreCRTRequestSerializer(
    session, {"region_name": region, "endpoint_url": endpoint, "config": config}
)
keys = BotocoreCRTCredentialsWrapper(session.get_credentials()).to_crt_credentials_provider()
client = create_s3_crt_client(region, crt_credentials_provider=keys, use_ssl=False)
seconds = []
with CRTTransferManager(client, serializer) as manager:
    for move in (
        lambda suffix: manager.download(bucket, source + suffix, file + suffix),
        lambda suffix: manager.upload(file + suffix, bucket, target + suffix),
    ):
        began = time.monotonic()
        for moved in [move(suffix) for suffix in suffixes]:
            moved.result()
        seconds.append(time.monotonic() - began)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(json.dumps({"down": seconds[0], "up": seconds[1], "peak": peak}))
