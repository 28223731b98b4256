"""Objects with their tensors apart."""

import torch

from kfac_cli.engine.parcel import Parcel

CPU = torch.device("cpu")


def sent(content):
    parcel, tensors = Parcel.of(content)
    vectors = parcel.empty(CPU)
    for dtype, vector in parcel.joined(tensors).items():
        vectors[dtype].copy_(vector)
    return parcel.content(vectors)


def test_an_object_arrives_with_its_tensors_and_their_strides():
    wide = torch.rand(3, 5, dtype=torch.float64)
    content = {"a": [wide, wide.T], (0, 1): (torch.arange(4.0), "text", 2.5), "none": None}
    found = sent(content)
    assert torch.equal(found["a"][0], wide)
    assert torch.equal(found["a"][1], wide.T)
    assert found["a"][1].stride() == wide.T.stride()
    assert torch.equal(found[0, 1][0], torch.arange(4.0))
    assert found[0, 1][1:] == ("text", 2.5)
    assert found["none"] is None


def test_tensors_of_a_dtype_are_one_vector():
    parcel, tensors = Parcel.of([torch.rand(2, 2), torch.rand(3), torch.rand(1).double()])
    sizes = {kind: len(vector) for kind, vector in parcel.joined(tensors).items()}
    assert sizes == {torch.float32: 7, torch.float64: 1}


def test_nothing_is_sent_of_an_object_without_tensors():
    parcel, tensors = Parcel.of({"a": 1})
    assert parcel.joined(tensors) == {}
    assert sent({"a": 1}) == {"a": 1}


def test_what_arrives_is_a_copy_of_its_own():
    vector = torch.rand(6)
    parcel, _ = Parcel.of([vector[:3], vector[3:]])
    first, _ = parcel.content({torch.float32: vector})
    assert first.data_ptr() != vector.data_ptr()
