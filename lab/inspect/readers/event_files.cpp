#include "lab/inspect/readers/event_files.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <protozero/pbf_reader.hpp>

#include "gradstab/tensor.hpp"
#include "lab/inspect/readers/buffered.hpp"
#include "lab/support/byte_reader.hpp"
#include "lab/support/crc32c.hpp"

namespace gradstab::lab::inspect {
namespace {

constexpr std::size_t kHeaderBytes = 12;  // u64 length, u32 checksum of it
constexpr std::size_t kFooterBytes = 4;   // u32 checksum of the payload
/// Scalars have 60 bytes; a larger record holds a picture or a graph, and is passed over.
constexpr std::uint64_t kLargestRecord = std::uint64_t{16} << 20;

std::uint32_t masked_checksum(std::string_view bytes) {
  const std::uint32_t value = crc32c(bytes);
  return (value >> 15 | value << 17) + 0xa282ead8U;
}

/// The length of a record's payload; nothing where the checksum is another.
std::optional<std::uint64_t> length_in(std::string_view header) {
  ByteReader reader(header);
  const auto length = reader.number<std::uint64_t>();
  const auto checksum = reader.number<std::uint32_t>();
  if (!reader.ok() || masked_checksum(header.substr(0, sizeof length)) != checksum) return std::nullopt;
  return length;
}

// The fields of TensorFlow's event.proto, summary.proto and tensor.proto that are read.
enum EventField : protozero::pbf_tag_type { kEventStep = 2, kEventSummary = 5 };
enum SummaryField : protozero::pbf_tag_type { kSummaryValue = 1 };
enum ValueField : protozero::pbf_tag_type { kValueTag = 1, kValueSimple = 2, kValueTensor = 8 };
enum TensorField : protozero::pbf_tag_type {
  kTensorDType = 1,
  kTensorContent = 4,
  kTensorFloat = 5,
  kTensorDouble = 6,
  kTensorInt = 7,
  kTensorString = 8,
  kTensorInt64 = 10,
  kTensorHalf = 13
};
enum TensorType { kFloat = 1, kDouble = 2, kInt32 = 3, kString = 7, kInt64 = 9, kBFloat16 = 14, kHalf = 19 };

std::string_view view(protozero::data_view data) {
  return {data.data(), data.size()};
}

/// The single number in the bytes of a tensor.
template <class T>
std::optional<double> only(std::string_view content) {
  if (content.size() != sizeof(T)) return std::nullopt;
  return static_cast<double>(ByteReader(content).number<T>());
}

std::optional<double> in_content(int type, std::string_view content) {
  switch (type) {
    case kFloat:
      return only<float>(content);
    case kDouble:
      return only<double>(content);
    case kInt32:
      return only<std::int32_t>(content);
    case kInt64:
      return only<std::int64_t>(content);
    case kBFloat16:
    case kHalf: {
      if (content.size() != 2) return std::nullopt;
      const auto bits = ByteReader(content).number<std::uint16_t>();
      return type == kHalf ? to_float(Float16{bits}) : to_float(BFloat16{bits});
    }
    default:
      return std::nullopt;
  }
}

/// The first of a field's numbers, packed or not.
template <class Packed, class Single>
double first_of(protozero::pbf_reader& reader, Packed packed, Single single, std::size_t& count) {
  if (reader.wire_type() != protozero::pbf_wire_type::length_delimited) {
    ++count;
    return static_cast<double>(single());
  }
  const auto range = packed();
  double first = std::nan("");
  for (auto it = range.begin(); it != range.end(); ++it)
    if (count++ == 0) first = static_cast<double>(*it);
  return first;
}

/// What a tensor holds, if that is one number or one text.
struct TensorValue {
  std::optional<double> number;
  std::optional<std::string_view> text;
};

TensorValue read_tensor(protozero::pbf_reader reader) {
  int type = 0;
  std::string_view content;
  TensorValue value;
  std::size_t count = 0;
  double number = std::nan("");
  while (reader.next()) {
    switch (reader.tag()) {
      case kTensorDType:
        type = reader.get_enum();
        break;
      case kTensorContent:
        content = view(reader.get_view());
        break;
      case kTensorFloat:
        number = first_of(
            reader, [&] { return reader.get_packed_float(); }, [&] { return reader.get_float(); }, count);
        break;
      case kTensorDouble:
        number = first_of(
            reader, [&] { return reader.get_packed_double(); }, [&] { return reader.get_double(); }, count);
        break;
      case kTensorInt:
        number = first_of(
            reader, [&] { return reader.get_packed_int32(); }, [&] { return reader.get_int32(); }, count);
        break;
      case kTensorInt64:
        number = first_of(
            reader, [&] { return reader.get_packed_int64(); }, [&] { return reader.get_int64(); }, count);
        break;
      case kTensorHalf: {
        const double bits = first_of(
            reader, [&] { return reader.get_packed_int32(); }, [&] { return reader.get_int32(); }, count);
        const auto half =
            static_cast<std::uint16_t>(static_cast<std::int32_t>(bits >= 0 && bits < 65536 ? bits : 0));
        number = type == kBFloat16 ? to_float(BFloat16{half}) : to_float(Float16{half});
        break;
      }
      case kTensorString:
        value.text = view(reader.get_view());
        break;
      default:
        reader.skip();
    }
  }
  if (count == 1)
    value.number = number;
  else if (count == 0)
    value.number = in_content(type, content);
  return value;
}

/// Gives the scalars of a Summary.
void read_summary(protozero::pbf_reader summary, RowSink& sink) {
  while (summary.next(kSummaryValue)) {
    protozero::pbf_reader reader = summary.get_message();
    std::string_view tag;
    TensorValue value;
    while (reader.next()) {
      switch (reader.tag()) {
        case kValueTag:
          tag = view(reader.get_view());
          break;
        case kValueSimple:
          value.number = reader.get_float();
          break;
        case kValueTensor:
          value = read_tensor(reader.get_message());
          break;
        default:
          reader.skip();
      }
    }
    if (tag.empty()) continue;
    if (value.number)
      sink.number(tag, *value.number);
    else if (value.text)
      sink.text(tag, *value.text);
  }
}

/// Gives the row of an event. False: no more of them.
bool read_event(std::string_view payload, RowSink& sink) {
  protozero::pbf_reader reader(payload.data(), payload.size());
  std::int64_t step = 0;
  std::optional<std::string_view> summary;
  while (reader.next()) {
    if (reader.tag() == kEventStep && reader.wire_type() == protozero::pbf_wire_type::varint)
      step = reader.get_int64();
    else if (reader.tag() == kEventSummary &&
             reader.wire_type() == protozero::pbf_wire_type::length_delimited)
      summary = view(reader.get_view());
    else
      reader.skip();
  }
  if (!summary) return true;
  sink.number(kRecordStep, static_cast<double>(step));
  read_summary(protozero::pbf_reader(summary->data(), summary->size()), sink);
  return sink.end_row();
}

/// What was left out of a file.
struct Damage {
  std::int64_t checksums = 0;
  std::int64_t messages = 0;
  bool length = false;
};

/// False: no more rows are wanted.
Result<bool> read_one(const Source& source, RowSink& sink, Damage& damage) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  Buffered buffered(**bytes);
  for (;;) {
    const std::string_view header = buffered.take(kHeaderBytes);
    if (header.size() < kHeaderBytes) break;
    const auto length = length_in(header);
    if (!length) {
      damage.length = true;
      break;
    }
    if (*length > kLargestRecord) {
      // A length that a file does not have ends it.
      if (!buffered.skip(*length) || !buffered.skip(kFooterBytes)) break;
      continue;
    }
    const auto size = static_cast<std::size_t>(*length);
    const std::string_view record = buffered.take(size + kFooterBytes);
    if (record.size() < size + kFooterBytes) break;
    const std::string_view payload = record.substr(0, size);
    if (ByteReader(record.substr(size)).number<std::uint32_t>() != masked_checksum(payload)) {
      ++damage.checksums;
      continue;
    }
    try {
      if (!read_event(payload, sink)) return false;
    } catch (const protozero::exception&) {
      ++damage.messages;
      if (!sink.end_row()) return false;
    }
  }
  if (!buffered.status().ok()) return buffered.status();
  return true;
}

/// "3 records with a wrong checksum (CRC) were"
std::string counted(std::int64_t count, std::string_view what) {
  return count == 1 ? fmt::format("one record {} was", what) : fmt::format("{} records {} were", count, what);
}

}  // namespace

bool looks_like_event_file(std::string_view front) {
  return front.size() >= kHeaderBytes && length_in(front.substr(0, kHeaderBytes)).has_value();
}

Status event_rows(const std::vector<EventFile>& files, TraceFacts& facts, RowSink& sink) {
  for (const EventFile& file : files) {
    Damage damage;
    const auto more = read_one(file.source, sink, damage);
    if (!more) return more.status();
    if (damage.checksums > 0) {
      facts.notes.push_back(fmt::format("In {} {} left out; the rest was read.", file.name,
                                        counted(damage.checksums, "with a wrong checksum (CRC)")));
    }
    if (damage.messages > 0) {
      facts.notes.push_back(fmt::format("In {} {} left out; the rest was read.", file.name,
                                        counted(damage.messages, "without a message of an event")));
    }
    if (damage.length)
      facts.notes.push_back(fmt::format(
          "{} was read up to a length with a wrong checksum (CRC); what follows is lost.", file.name));
    if (!*more) return {};
  }
  return {};
}

}  // namespace gradstab::lab::inspect
