"""Series: values over time, of one channel or several, with gaps or without."""

from insphere.modalities.series.kind import Series
from insphere.modalities.series.time_series import TimeSeries

__all__ = ["Series", "TimeSeries"]
