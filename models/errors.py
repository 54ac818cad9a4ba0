"""The error tree of the whole project. It knows no HTTP; ``app.errors`` maps each class to a status.

PicktureError
├── PhotoError                 a photo that cannot be used
│   ├── PhotoEmpty             no bytes came
│   ├── PhotoTooLarge          too many bytes, pixels or frames
│   ├── PhotoFormatUnsupported not JPEG, PNG, WebP or HEIC
│   ├── PhotoDamaged           the format is right, the content cannot be decoded
│   └── PhotoUndecodable       its decoder crashed, or did not come to an end in time
├── BackboneError
│   ├── WeightsNotFound        the weight source names no readable file
│   ├── WeightsMismatch        the file does not fit Inception-v3 without top
│   ├── BackboneNotReady       nobody has prepared this backbone yet
│   └── NetworkBusy            as many photos wait for the network as may
├── BundleError
│   ├── BundleNotFound         no such version, or none published
│   ├── BundleDamaged          a file is missing or its SHA-256 differs from the manifest
│   └── BundleMismatch         made for another space, or by an unknown format version
├── TrainingError
│   ├── NotEnoughData          too few labels or photos to fit anything
│   └── SplitError             the split file does not fit the photos
├── DeadlineExceeded           the answer could not be had in the time given
└── UsageError                 an argument outside its documented range
"""


class PicktureError(Exception):
    """Base of every error Pickture raises on purpose.

    ``code`` is stable and machine-readable; the message tells a person what came, what was
    expected and how to mend it.
    """

    code = "internal"


class PhotoError(PicktureError):
    """A photo that cannot be used."""

    code = "photo_invalid"


class PhotoEmpty(PhotoError):
    """No bytes came."""

    code = "photo_empty"


class PhotoTooLarge(PhotoError):
    """More bytes, pixels or frames than the limits allow."""

    code = "photo_too_large"


class PhotoFormatUnsupported(PhotoError):
    """The content is not JPEG, PNG, WebP or HEIC, whatever its name says."""

    code = "photo_format_unsupported"


class PhotoDamaged(PhotoError):
    """The format is supported, but the content cannot be decoded to its end."""

    code = "photo_damaged"


class PhotoUndecodable(PhotoError):
    """The decoder crashed on this photo, or did not come to an end in the time a photo may take."""

    code = "photo_undecodable"


class BackboneError(PicktureError):
    """The network that turns photos into bottlenecks cannot be used."""

    code = "backbone_error"


class WeightsNotFound(BackboneError):
    """The weight source names no readable file."""

    code = "weights_not_found"


class WeightsMismatch(BackboneError):
    """The weight file does not fit Inception-v3 without top."""

    code = "weights_mismatch"


class BackboneNotReady(BackboneError):
    """The backbone has not been prepared in this ``PICKTURE_HOME``."""

    code = "backbone_not_ready"


class NetworkBusy(BackboneError):
    """As many photos wait for the network as may; the next has to come again."""

    code = "network_busy"


class BundleError(PicktureError):
    """A served model version cannot be used."""

    code = "bundle_error"


class BundleNotFound(BundleError):
    """No such version, or nothing has been published yet."""

    code = "bundle_not_found"


class BundleDamaged(BundleError):
    """A file of the bundle is missing or does not match its SHA-256 in the manifest."""

    code = "bundle_damaged"


class BundleMismatch(BundleError):
    """The bundle was made for another space or in an unknown format."""

    code = "bundle_mismatch"


class TrainingError(PicktureError):
    """Training cannot go on with this data."""

    code = "training_error"


class NotEnoughData(TrainingError):
    """Too few labels or photos to fit anything."""

    code = "not_enough_data"


class SplitError(TrainingError):
    """The split file does not fit the photos."""

    code = "split_error"


class DeadlineExceeded(PicktureError):
    """The answer could not be had in the time given; what had not begun by then was not done."""

    code = "deadline_exceeded"


class UsageError(PicktureError):
    """An argument lies outside its documented range."""

    code = "usage_error"
