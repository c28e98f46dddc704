// Whatever bytes a log has: the readers of `gradstab inspect` read or refuse it in our own words, and give
// nothing that is no record.
//
// Input: one byte chooses the reader, the rest is what it reads. Event files and .wandb files also get the
// lengths and checksums that belong to the rest, so that the messages behind them are reached; so do
// recordings of norms.
#include <zlib.h>

#include <string>
#include <string_view>

#include "input.hpp"
#include "lab/inspect/readers/csv.hpp"
#include "lab/inspect/readers/event_files.hpp"
#include "lab/inspect/readers/json_rows.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/inspect/readers/open.hpp"
#include "lab/inspect/readers/recording.hpp"
#include "lab/inspect/readers/text_log.hpp"
#include "lab/inspect/readers/wandb.hpp"
#include "lab/support/crc32c.hpp"

namespace gradstab::fuzz {
namespace {

using namespace gradstab::lab;
using namespace gradstab::lab::inspect;

constexpr const char* kTheirWord = "json.exception";

void expect_our_words(const Status& status) {
  if (status.ok()) return;
  GRADSTAB_FUZZ_CHECK(!status.message().empty(), "an error says nothing");
  GRADSTAB_FUZZ_CHECK(status.message().find(kTheirWord) == std::string::npos, "%s", status.message().c_str());
}

/// Looks at every record.
class Looking : public TraceSink {
 public:
  explicit Looking(const TraceFacts& facts) : facts_(facts) {}
  bool record(const TraceRecord& record) override {
    GRADSTAB_FUZZ_CHECK(record.step >= 0, "a step below 0");
    for (const TensorNorm& each : record.tensors)
      GRADSTAB_FUZZ_CHECK(each.tensor < facts_.tensors.size(), "the norm of a tensor without a name");
    return ++records_ < 100'000;
  }

 private:
  const TraceFacts& facts_;
  int records_ = 0;
};

void try_trace(std::string_view text, const ReadOptions& options = {}) {
  const auto trace = trace_of_bytes(text, "log", options);
  expect_our_words(trace.status());
  if (!trace) return;
  TraceFacts facts;
  Looking looking(facts);
  expect_our_words(trace->read(facts, looking));
}

template <class Rows>
void try_rows(Rows rows) {
  TraceFacts facts;
  Looking looking(facts);
  expect_our_words(read_rows(rows, {}, facts, looking));
}

void try_any(const std::string& text) {
  try_trace(text);
}
void try_csv(const std::string& text) {
  try_rows([&](TraceFacts& facts, RowSink& sink) { return csv_rows(source_of(text), facts, sink); });
}
void try_json_lines(const std::string& text) {
  try_rows([&](TraceFacts& facts, RowSink& sink) { return json_line_rows(source_of(text), facts, sink); });
}
void try_json_document(const std::string& text) {
  try_rows(
      [&](TraceFacts& facts, RowSink& sink) { return json_document_rows(source_of(text), facts, sink); });
}
void try_text_log(const std::string& text) {
  TraceFacts facts;
  Looking looking(facts);
  expect_our_words(read_text_log(source_of(text), facts, looking));
}

/// The first line is the pattern.
void try_pattern(const std::string& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  try_trace(std::string_view(text).substr(std::min(end + 1, text.size())), {.pattern = text.substr(0, end)});
}

void try_number(const std::string& text) {
  const NumberAtFront front = number_at_front(text);
  GRADSTAB_FUZZ_CHECK(front.bytes <= text.size(), "a number of more bytes than there are");
  if (log_number(text)) GRADSTAB_FUZZ_CHECK(front.bytes > 0, "a number of no bytes");
}

template <class T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::uint32_t masked(std::string_view bytes) {
  const std::uint32_t value = crc32c(bytes);
  return (value >> 15 | value << 17) + 0xa282ead8U;
}

void try_event_file(const std::string& text) {
  try_rows([&](TraceFacts& facts, RowSink& sink) {
    return event_rows({{"x", source_of(text)}}, facts, sink);
  });
}

/// Records, each a byte with its length and its payload.
void try_events(const std::string& text) {
  std::string file;
  for (std::size_t at = 0; at < text.size();) {
    const auto length = static_cast<std::size_t>(static_cast<unsigned char>(text[at]));
    const std::string_view payload = std::string_view(text).substr(at + 1, length);
    std::string header;
    put(header, std::uint64_t{payload.size()});
    put(header, masked(header));
    file.append(header).append(payload);
    put(file, masked(payload));
    at += 1 + length;
  }
  try_event_file(file);
}

void try_wandb(const std::string& text) {
  try_rows([&](TraceFacts& facts, RowSink& sink) { return wandb_rows(source_of(text), facts, sink); });
}

/// Fragments, each a byte with its type and length and its data.
void try_wandb_records(const std::string& text) {
  std::string file(":W&B\xe1\xbe\0", 7);
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t length = byte >> 2U;
    const std::string_view data = std::string_view(text).substr(at + 1, length);
    const auto type = static_cast<std::uint8_t>(1 + (byte & 3U));
    put(file, static_cast<std::uint32_t>(
                  crc32_z(crc32_z(0, &type, 1), reinterpret_cast<const Bytef*>(data.data()), data.size())));
    put(file, static_cast<std::uint16_t>(data.size()));
    put(file, type);
    file += data;
    at += 1 + length;
  }
  try_wandb(file);
}

void try_recording(const std::string& text) {
  TraceFacts facts;
  Looking looking(facts);
  expect_our_words(read_recording(source_of(text), {}, facts, looking));
}

std::uint32_t crc32_of(std::string_view bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

/// Blocks, each a byte with its kind and length and its payload. Steps get the checksum of the header before
/// them, which their payload begins with.
void try_recording_blocks(const std::string& text) {
  std::string file("\x89GSNORM\n\1\0\0\0", 12);
  put(file, crc32_of(file));
  std::uint32_t header = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t length = byte >> 1U;
    const bool is_step = (byte & 1U) != 0;
    std::string payload;
    if (is_step) put(payload, header);
    payload += text.substr(at + 1, length);
    std::string front = is_step ? "STEP" : "HEAD";
    put(front, static_cast<std::uint32_t>(payload.size()));
    put(front, crc32_of(front));
    if (!is_step) header = crc32_of(payload);
    file.append(front).append(payload);
    put(file, crc32_of(payload));
    at += 1 + length;
  }
  try_recording(file);
}

constexpr void (*kReaders[])(const std::string&) = {
    try_any,           try_csv,       try_json_lines,      try_json_document, try_text_log,
    try_pattern,       try_number,    try_event_file,      try_events,        try_wandb,
    try_wandb_records, try_recording, try_recording_blocks};

}  // namespace
}  // namespace gradstab::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gradstab::fuzz::Input input(data, size);
  const auto reader = input.pick(gradstab::fuzz::kReaders);
  const auto rest = input.rest();
  const std::string text(reinterpret_cast<const char*>(rest.data()), rest.size());
  // Errors quote what they were given, and the fuzzer finds this word by comparing.
  if (text.find(gradstab::fuzz::kTheirWord) == std::string::npos) reader(text);
  return 0;
}
