// A log as bytes that can be read from the front as often as needed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/support/byte_stream.hpp"

namespace gradstab::lab::inspect {

/// Opens the bytes anew.
using Source = std::function<Result<std::unique_ptr<ByteStream>>()>;

/// Bytes in memory, which must outlive the source.
inline Source source_of(std::string_view bytes) {
  return [bytes]() -> Result<std::unique_ptr<ByteStream>> {
    return std::unique_ptr<ByteStream>(std::make_unique<MemoryStream>(bytes));
  };
}

}  // namespace gradstab::lab::inspect
