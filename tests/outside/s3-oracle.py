"""Requests made by chance, and the Authorization that botocore gives each: OUT.requests for t-sigv4, OUT.expected."""
import datetime
import random
import sys
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials

ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PIECES = ["a", "Z", "0", "-", ".", "_", "~", "/", "//", " ", "+", "%", "%2F", "&", "=", "?", "#", "é", "日", "😀", "..",
          "'", '"', "*", "(", "!", ",", ";", ":", "@", "$", "\\", "<", "|", "\x01", "\x7f"]


def text(rng, most):
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(most)))


def query(rng):
    pairs = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(rng.randrange(1000))), ("prefix", text(rng, 8)),
             ("continuation-token", text(rng, 20)), ("start-after", text(rng, 4)), ("a", text(rng, 3)), ("a", text(rng, 3))]
    rng.shuffle(pairs)
    return "&".join(f"{k}={urllib.parse.quote(v, safe='')}" for k, v in pairs[:rng.randrange(len(pairs) + 1)])


def main(out):
    rng = random.Random(20250208)
    with open(out + ".requests", "w") as requests, open(out + ".expected", "w") as expected:
        for _ in range(500):
            when = datetime.datetime(2000 + rng.randrange(60), 1 + rng.randrange(12), 1 + rng.randrange(28),
                                     rng.randrange(24), rng.randrange(60), rng.randrange(60))
            host = rng.choice(["b.s3.us-east-1.amazonaws.com", "127.0.0.1:5000", "minio.example:9000"])
            path = "/" + urllib.parse.quote(text(rng, 30), safe="/~")
            token, bytes_, q = rng.choice(["", "TOKEN/+=="]), rng.choice(["", f"bytes={rng.randrange(10 ** 12)}-"]), query(rng)
            botocore.auth.get_current_datetime = lambda *a, w=when: w
            headers = {"Host": host}
            if bytes_:
                headers["Range"] = bytes_
            request = botocore.awsrequest.AWSRequest("GET", f"http://{host}{path}" + (f"?{q}" if q else ""), headers=headers)
            keys = botocore.credentials.Credentials(ID, SECRET, token or None)
            botocore.auth.S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
            stamp = when.strftime("%Y-%m-%dT%H:%M:%SZ")
            requests.write("\t".join(["GET", host, path, q, stamp, token, bytes_]) + "\n")
            expected.write(request.headers["Authorization"] + "\n")


main(sys.argv[1])
