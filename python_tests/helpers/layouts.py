"""Invented interactions in the layouts that MovieLens, Amazon and Yelp are published in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

RECBOLE = """user_id:token\titem_id:token\trating:float\ttimestamp:float
196\t242\t3\t881250949
186\t302\t3\t891717742
22\t377\t1\t878887116
196\t51\t2\t881250000
"""
U_DATA = "196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t377\t1\t878887116\n"
RATINGS_DAT = "1::1193::5::978300760\n1::661::3::978302109\n2::1357::5::978298709\n"
ML_RATINGS = """userId,movieId,rating,timestamp
1,10,3.5,1112486027
1,11,5.0,1112484676
2,10,0.5,1094785740
"""
ML_MOVIES = """movieId,title,genres
10,"Été, The (""L'Été"") (1995)",Comedy|Drama
12,Unwatched (2001),Horror
11,Nothing Known (1999),(no genres listed)
"""

AMAZON_2014 = [
    {"reviewerID": "A1", "asin": "B01", "reviewerName": "Zoë \"Z\" O'Neil", "helpful": [0, 2],
     "reviewText": "It's\n\"fine\" \\o/ \u00e9", "overall": 5.0, "summary": "x",
     "unixReviewTime": 1252800000, "reviewTime": "09 13, 2009"},
    {"reviewerID": "A2", "asin": "B02", "helpful": [1, 1], "reviewText": "", "overall": 2.0,
     "summary": "True story: None 'asin': 'B99'", "unixReviewTime": 1252800001,
     "reviewTime": "09 13, 2009"},
    {"reviewerID": "A1", "asin": "B02", "reviewText": "ok", "overall": 1.0, "unixReviewTime": 7},
]  # fmt: skip
AMAZON_2014_META = [
    {"asin": "B01", "title": 'Girls\' "Tutu"', "price": 3.17, "related": {"also_bought": ["B02"]},
     "salesRank": {"Toys & Games": 211836}, "brand": "Coxl\u00fcres",
     "categories": [["Sports", "Other", "Dance"], ["Sports", "Shoes"]]},
    {"asin": "B02", "title": None, "categories": [["Sports"]]},
    {"asin": "B02", "title": "again", "categories": [["Games"]]},
    {"asin": "B03", "price": 1.0},
]  # fmt: skip
AMAZON_2018 = [
    {"overall": 5.0, "verified": True, "reviewTime": "09 1, 2016", "reviewerID": "A1",
     "asin": "B01", "style": {"Size:": " L"}, "reviewText": "thé", "unixReviewTime": 1472688000},
    {"overall": 3.0, "verified": False, "reviewTime": "11 14, 2013", "reviewerID": "A2",
     "asin": "B02", "vote": "5", "unixReviewTime": 1384387200},
]  # fmt: skip
AMAZON_2018_META = [
    {"category": ["Electronics", "Audio", "Audio"], "tech1": "", "title": "Radio",
     "also_buy": [], "brand": "", "main_cat": "All Electronics", "price": "$4.99", "asin": "B01"},
    {"category": [], "title": "Thing", "brand": "Acme", "asin": "B02"},
]  # fmt: skip
AMAZON_2023 = [
    {"rating": 5.0, "title": "t", "text": "He said \"no\" {\"asin\": 3}", "images": [],
     "asin": "B01X", "parent_asin": "B01", "user_id": "AGKH", "timestamp": 1588687728923,
     "helpful_vote": 0, "verified_purchase": True},
    {"rating": 4.0, "title": "t", "text": "", "images": [{"small": "u"}], "asin": "B02",
     "parent_asin": "B02", "user_id": "AGKI", "timestamp": 1588615855070, "helpful_vote": 1,
     "verified_purchase": False},
]  # fmt: skip
AMAZON_2023_META = [
    {"main_category": "All Beauty", "title": "Spray", "average_rating": 4.8, "features": [],
     "price": None, "images": [{"thumb": "u"}], "store": "Howard", "parent_asin": "B01",
     "categories": ["Beauty", "Hair"], "details": {"Brand": "x"}, "bought_together": None},
    {"main_category": None, "title": "Other", "store": None, "categories": [],
     "parent_asin": "B02"},
]  # fmt: skip
AMAZON_2023_CSV = """user_id,parent_asin,rating,timestamp
AGKH,B01,5.0,1588687728923
AGKI,B02,4.0,1588615855070
"""

YELP_REVIEW = [
    {"review_id": "r1", "user_id": "u-1", "business_id": "b_1", "stars": 3.0, "useful": 0,
     "text": "caf\u00e9 \"ok\"\n", "date": "2018-07-07 22:09:11"},
    {"review_id": "r2", "user_id": "u-2", "business_id": "b_2", "stars": 5, "text": "",
     "date": "2012-01-03"},
]  # fmt: skip
YELP_BUSINESS = [
    {"business_id": "b_1", "name": "Caf\u00e9", "address": "1 A St", "city": "Philadelphia",
     "state": "PA", "stars": 4.0, "attributes": {"WiFi": "u'free'"},
     "categories": "Restaurants, Coffee & Tea,Food", "hours": None},
    {"business_id": "b_2", "name": "Shut", "city": "", "state": "AZ", "categories": None},
    {"business_id": "b_3", "name": "Old", "city": "Mesa", "state": "AZ",
     "categories": ["Books, Mags, Music & Video", "Tea \"room\""]},
]  # fmt: skip
YELP_USER = [
    {"user_id": "u-1", "name": "Zo\u00eb", "review_count": 585, "yelping_since":
     "2007-01-25 16:47:26", "friends": "u-2, u-3", "fans": 2, "average_stars": 3.91},
    {"user_id": "u-9", "yelping_since": "2009-01-25 04:35:42"},
]  # fmt: skip


def json_lines(objects: Iterable[object]) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in objects)


def literal_lines(objects: Iterable[object]) -> str:
    """As Amazon's 2014 files were written: Python's ``repr``."""
    return "".join(f"{value!r}\n" for value in objects)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    """Writes ``content``, packed if ``name`` ends in ``.gz``."""
    folder.mkdir(exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path
