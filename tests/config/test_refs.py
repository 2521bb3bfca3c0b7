"""References that stand as text in a configuration: parsed and printed in one place each."""

import pytest

from rethink_tf.config.parent_ref import ParentRef, is_parent_ref
from rethink_tf.errors import RequestError
from rethink_tf.storage.content_hash import ContentRef


def test_a_parent_is_printed_and_parsed():
    ref = ParentRef("/a b/runs@parent:x/mlp", "mlp_1x512-00ff", 3, "abc")
    assert str(ref) == "/a b/runs@parent:x/mlp@parent:mlp_1x512-00ff:3:abc"
    assert ParentRef.parse(str(ref)) == ref
    assert ref.identity == "mlp_1x512-00ff:3:abc"
    assert is_parent_ref(str(ref)) and not is_parent_ref("runs/mlp") and not is_parent_ref(None)


@pytest.mark.parametrize("text", ["runs/mlp", "@parent:", "a@parent:b:x:c", "a@parent:b:1:c:d"])
def test_what_is_no_parent_is_refused(text):
    with pytest.raises(RequestError, match="--init_from: expected a run's folder"):
        ParentRef.parse(text)


def test_a_content_is_printed_and_parsed():
    ref = ContentRef("folder:/a/b", "0f")
    assert str(ref) == "folder:/a/b@sha256:0f" and ContentRef.parse(str(ref)) == ref
    assert str(ContentRef("noise.csv")) == "noise.csv"
    assert ContentRef.parse("noise.csv") == ContentRef("noise.csv", "")
