"""The Yelp open dataset: reviews, businesses, users."""

from __future__ import annotations

from pathlib import Path

import pytest

from atjt_ext.data import read_interactions, read_yelp
from helpers import layouts
from helpers.layouts import json_lines, write
from helpers.reading import refusal

REVIEWS = json_lines(layouts.YELP_REVIEW)


@pytest.mark.parametrize("packed", ["", ".gz"], ids=["plain", "gzip"])
def test_a_folder_gives_reviews_businesses_and_users(tmp_path: Path, packed: str) -> None:
    prefix = "yelp_academic_dataset_"
    review = write(tmp_path, f"{prefix}review.json{packed}", REVIEWS)
    business = write(tmp_path, f"{prefix}business.json{packed}", json_lines(layouts.YELP_BUSINESS))
    user = write(tmp_path, f"{prefix}user.json{packed}", json_lines(layouts.YELP_USER))
    tip = '{"user_id": "u", "business_id": "b", "text": "t", "date": "d", "compliment_count": 0}'
    write(tmp_path, f"{prefix}tip.json{packed}", tip)
    write(tmp_path, f"{prefix}checkin.json{packed}", '{"business_id": "b", "date": "d"}')
    got = read_interactions(tmp_path)
    assert got.frame.columns == ["user", "item", "time", "rating"]
    assert got.frame.rows() == [
        ("u-1", "b_1", 1531001351, 3.0),
        ("u-2", "b_2", 1325548800, 5.0),
    ]
    assert got.items is not None
    assert got.items.columns == ["item", "name", "city", "state", "categories"]
    assert got.items.rows() == [
        ("b_1", "Café", "Philadelphia", "PA", ["Restaurants", "Coffee & Tea", "Food"]),
        ("b_2", "Shut", "", "AZ", None),
        ("b_3", "Old", "Mesa", "AZ", ["Books, Mags, Music & Video", 'Tea "room"']),
    ]
    assert got.users is not None
    assert got.users.columns == [
        "user", "yelping_since", "review_count", "fans", "average_stars",
    ]  # fmt: skip
    assert got.users.rows() == [
        ("u-1", "2007-01-25 16:47:26", 585.0, 2.0, 3.91),
        ("u-9", "2009-01-25 04:35:42", None, None, None),
    ]
    named = read_yelp(review, business=business, user=user)
    assert named.items is not None
    assert named.users is not None
    assert named.items.equals(got.items)
    assert named.users.equals(got.users)
    alone = read_interactions(review)
    assert alone.items is None
    assert alone.users is None


@pytest.mark.parametrize("date", ["2018-13-01", "yesterday", "", None])
def test_a_review_without_a_date_is_named(tmp_path: Path, date: str | None) -> None:
    bad = {**layouts.YELP_REVIEW[0], "date": date}
    path = write(tmp_path, "review.json", REVIEWS + "\n" + json_lines([bad]))
    assert refusal(read_interactions, path) == (
        f"{path}:4: column 'date' must be YYYY-MM-DD hh:mm:ss, got {date or ''!r}"
    )


def test_bad_businesses_and_users_are_named(tmp_path: Path) -> None:
    review = write(tmp_path, "review.json", REVIEWS)
    business = write(tmp_path, "b.json", '{"business_id": "b", "city": "c"}\n{"city": "c"}\n')
    message = refusal(read_yelp, review, business=business)
    assert message.startswith(f"{business}:2: column 'business_id' must be an id")
    user = write(tmp_path, "u.json", '{"user_id": "u", "fans": "many"}\n')
    message = refusal(read_yelp, review, user=user)
    assert message.startswith(f"{user}:1: column 'fans' must be a number, or empty")
