"""The error tree: errors are data, and travel."""

import inspect
import pickle
import traceback

import pytest

from windlass import errors
from windlass.errors import InvalidOption, JobFailed, ResultTimeout, UnknownKind, WindlassError

TREE = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, WindlassError)]


@pytest.mark.parametrize("cls", TREE, ids=lambda cls: cls.__name__)
def test_every_error_is_data(cls: type[WindlassError]) -> None:
    error = cls("it happened", field="to", limit=3)
    assert (str(error), error.message, error.field, error.limit) == ("it happened", "it happened", "to", 3)
    assert error.as_dict() == {"code": cls.code, "message": "it happened", "field": "to", "limit": 3}
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert (again.message, again.facts) == (error.message, error.facts)


def test_a_traceback_says_what_mends_it_once() -> None:
    hidden = InvalidOption("there is no such option", mend="see the list")
    assert traceback.format_exception_only(hidden)[-1] == "mend: see the list\n"
    told = InvalidOption("there is no such option: see the list", mend="see the list")
    assert len(traceback.format_exception_only(told)) == 1
    assert traceback.format_exception_only(pickle.loads(pickle.dumps(hidden)))[1:] == ["mend: see the list\n"]


def test_codes_tell_the_classes_apart() -> None:
    codes = [cls.code for cls in TREE]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and " " not in code for code in codes)


def test_the_page_at_the_top_names_every_class() -> None:
    assert [cls.__name__ for cls in TREE if cls.__name__ not in (errors.__doc__ or "")] == []


def test_builtin_bases() -> None:
    with pytest.raises(TimeoutError):
        raise ResultTimeout("late")
    with pytest.raises(LookupError):
        raise UnknownKind("who?")
    assert issubclass(errors.InvalidArgs, ValueError)
    assert issubclass(errors.StoreUnavailable, ConnectionError)


def test_a_missing_fact_is_an_attribute_error() -> None:
    error = JobFailed("no", id="1")
    assert not hasattr(error, "kind")
    with pytest.raises(AttributeError, match="JobFailed has no 'kind'"):
        error.kind
