# The parts of forecasting that need no torch, for whoever compiles them on their own.
set(forecast_data
  corruption.cpp csv.cpp csv_fields.cpp dates.cpp earth_orientation.cpp parts.cpp patch_tst_config.cpp published.cpp
  read_series.cpp standardization.cpp trivial_predictors.cpp windows.cpp)
set(forecast_kind
  forecast_data.cpp forecast_kind.cpp forecast_recipes.cpp forecast_settings.cpp forecast_time.cpp)
set(forecast_without_torch ${forecast_data} ${forecast_kind})
