#include "lab/llm/data/token_file.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "lab/support/files.hpp"
#include "lab/support/hashing.hpp"
#include "lab/support/new_file.hpp"

namespace gradstab::lab {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

constexpr std::array<char, 8> kMagic = {'G', 'S', 'T', 'O', 'K', 'E', 'N', 'S'};
constexpr std::size_t kBufferBytes = 1 << 20;

struct Header {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kTokenFileVersion;
  std::uint32_t token_bytes = 0;
  std::uint64_t vocab_size = 0;
  std::uint64_t tokenizer_hash = 0;
  std::array<PartCounts, 2> parts;
  Sha256Digest tokens_sha256{};
  std::uint64_t tokens_checksum = 0;  // told faster than the digest, at every start
  std::uint64_t checksum = 0;         // of everything before it

  std::uint64_t expected_checksum() const {
    return fnv1a64({reinterpret_cast<const char*>(this), sizeof(Header) - sizeof checksum});
  }
};
static_assert(std::has_unique_object_representations_v<Header>, "the header is stored as its bytes");
static_assert(sizeof(Header) % alignof(std::uint32_t) == 0, "tokens follow the header aligned");

std::size_t index_of(CorpusPart part) {
  return static_cast<std::size_t>(part);
}

Status corrupt(const fs::path& path, std::string_view what) {
  return {StatusCode::corrupt_data, fmt::format("token file '{}' {}", path.string(), what)};
}

Status check_header(const Header& header, std::uint64_t file_bytes, const fs::path& path) {
  if (header.magic != kMagic) return corrupt(path, "is foreign: it does not begin with GSTOKENS");
  if (header.version != kTokenFileVersion) {
    return {StatusCode::version_mismatch, fmt::format("token file '{}' has format version {}, expected {}",
                                                      path.string(), header.version, kTokenFileVersion)};
  }
  const bool known_width =
      header.token_bytes == sizeof(std::uint16_t) || header.token_bytes == sizeof(std::uint32_t);
  if (header.checksum != header.expected_checksum() || !known_width) {
    return corrupt(path, "has a damaged header: its checksum does not match");
  }
  // So that nothing below overflows.
  constexpr std::uint64_t kMostTokens = std::uint64_t{1} << 60;
  if (header.parts[0].tokens > kMostTokens || header.parts[1].tokens > kMostTokens)
    return corrupt(path, "has a damaged header: it counts more tokens than any file holds");
  const std::uint64_t tokens = header.parts[0].tokens + header.parts[1].tokens;
  const std::uint64_t expected = sizeof(Header) + tokens * header.token_bytes;
  if (file_bytes != expected) {
    return corrupt(
        path, fmt::format("is truncated or overlong: it has {} bytes, expected {}", file_bytes, expected));
  }
  return {};
}

template <class Token>
std::uint64_t largest_token(std::string_view bytes) {
  const std::span tokens(reinterpret_cast<const Token*>(bytes.data()), bytes.size() / sizeof(Token));
  Token largest = 0;
  for (const Token token : tokens) largest = std::max(largest, token);
  return largest;
}

/// `bytes` lie behind the header, aligned.
Status check_tokens(const Header& header, std::string_view bytes, const fs::path& path) {
  constexpr std::size_t kStep = std::size_t{1} << 16;  // stays in cache between the two looks at it
  BulkChecksum checksum;
  std::uint64_t largest = 0;
  for (std::string_view rest = bytes; !rest.empty(); rest.remove_prefix(std::min(kStep, rest.size()))) {
    const std::string_view some = rest.substr(0, kStep);
    checksum.update(some);
    largest =
        std::max(largest, header.token_bytes == sizeof(std::uint16_t) ? largest_token<std::uint16_t>(some)
                                                                      : largest_token<std::uint32_t>(some));
  }
  if (checksum.value() != header.tokens_checksum)
    return corrupt(path, "has damaged tokens: their checksum does not match");
  if (!bytes.empty() && largest >= header.vocab_size)
    return corrupt(path, fmt::format("holds token {}, expected tokens below {}", largest, header.vocab_size));
  return {};
}

}  // namespace

struct TokenFile::Mapping {
  void* address = MAP_FAILED;
  std::size_t bytes = 0;
  Header header;

  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (address != MAP_FAILED) ::munmap(address, bytes);
  }
};

TokenFile::TokenFile(std::unique_ptr<Mapping> mapping) : mapping_(std::move(mapping)) {}
TokenFile::TokenFile(TokenFile&&) noexcept = default;
TokenFile& TokenFile::operator=(TokenFile&&) noexcept = default;
TokenFile::~TokenFile() = default;

Result<TokenFile> TokenFile::open(const fs::path& path) {
  const auto file = open_file(path);
  if (!file) return file.status();
  struct stat info {};
  if (::fstat(file->number(), &info) != 0) return io_error("read", path, errno);
  auto mapping = std::make_unique<Mapping>();
  mapping->bytes = static_cast<std::size_t>(info.st_size);
  if (mapping->bytes < sizeof(Header)) return corrupt(path, "is truncated: it is shorter than its header");
  mapping->address = ::mmap(nullptr, mapping->bytes, PROT_READ, MAP_SHARED, file->number(), 0);
  if (mapping->address == MAP_FAILED) return io_error("map", path, errno);
  std::memcpy(&mapping->header, mapping->address, sizeof(Header));
  if (Status status = check_header(mapping->header, mapping->bytes, path); !status.ok()) return status;
  const std::string_view tokens(static_cast<const char*>(mapping->address) + sizeof(Header),
                                mapping->bytes - sizeof(Header));
  if (Status status = check_tokens(mapping->header, tokens, path); !status.ok()) return status;
  return TokenFile(std::move(mapping));
}

TokenView TokenFile::tokens(CorpusPart part) const noexcept {
  const Header& header = mapping_->header;
  const char* data = static_cast<const char*>(mapping_->address) + sizeof(Header);
  if (part == CorpusPart::validation) {
    data += counts(CorpusPart::train).tokens * header.token_bytes;
  }
  const std::size_t size = counts(part).tokens;
  if (header.token_bytes == sizeof(std::uint16_t)) {
    return TokenView({reinterpret_cast<const std::uint16_t*>(data), size});
  }
  return TokenView({reinterpret_cast<const std::uint32_t*>(data), size});
}

const PartCounts& TokenFile::counts(CorpusPart part) const noexcept {
  return mapping_->header.parts[index_of(part)];
}
std::uint64_t TokenFile::vocab_size() const noexcept {
  return mapping_->header.vocab_size;
}
std::uint64_t TokenFile::tokenizer_hash() const noexcept {
  return mapping_->header.tokenizer_hash;
}
const Sha256Digest& TokenFile::sha256() const noexcept {
  return mapping_->header.tokens_sha256;
}

struct TokenFileWriter::State {
  fs::path path;
  NewFile main;        // header and training tokens
  NewFile validation;  // its tokens follow the training tokens, whose number is known at the end only
  Header header;
  Sha256 digest;  // of the tokens in `main`
  BulkChecksum checksum;

  Status write_tokens(NewFile& file, std::string_view tokens) {
    if (&file == &main) {
      digest.update(tokens);
      checksum.update(tokens);
    }
    return file.write(tokens);
  }

  template <class Token>
  Status append(NewFile& file, std::span<const std::int32_t> tokens) {
    std::array<Token, 1024> block;
    while (!tokens.empty()) {
      const std::size_t count = std::min(tokens.size(), block.size());
      for (std::size_t i = 0; i < count; ++i) {
        const std::int32_t token = tokens[i];
        if (token < 0 || static_cast<std::uint64_t>(token) >= header.vocab_size) {
          return {StatusCode::invalid_argument,
                  fmt::format("token must be in [0, {}), got {}", header.vocab_size, token)};
        }
        block[i] = static_cast<Token>(token);
      }
      GRADSTAB_RETURN_IF_ERROR(
          write_tokens(file, {reinterpret_cast<const char*>(block.data()), count * sizeof(Token)}));
      tokens = tokens.subspan(count);
    }
    return {};
  }

  Status append_validation_to_main() {
    GRADSTAB_RETURN_IF_ERROR(validation.flush());
    if (::lseek(validation.descriptor(), 0, SEEK_SET) != 0) return io_error("read", path, errno);
    std::string block(kBufferBytes, '\0');
    for (;;) {
      const ssize_t count = ::read(validation.descriptor(), block.data(), block.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return io_error("read", path, errno);
      if (count == 0) return main.flush();
      GRADSTAB_RETURN_IF_ERROR(
          write_tokens(main, std::string_view(block).substr(0, static_cast<std::size_t>(count))));
    }
  }
};

TokenFileWriter::TokenFileWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
TokenFileWriter::TokenFileWriter(TokenFileWriter&&) noexcept = default;
TokenFileWriter& TokenFileWriter::operator=(TokenFileWriter&&) noexcept = default;
TokenFileWriter::~TokenFileWriter() = default;

Result<TokenFileWriter> TokenFileWriter::create(const fs::path& path, std::uint64_t vocab_size,
                                                std::uint64_t tokenizer_hash) {
  if (vocab_size == 0 || vocab_size > (std::uint64_t{1} << 32)) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("vocab_size must be in [1, 4294967296], got {}", vocab_size));
  }
  auto main = NewFile::create(path);
  if (!main) return main.status();
  auto validation = NewFile::create(path);
  if (!validation) return validation.status();
  auto state = std::make_unique<State>(State{.path = path,
                                             .main = *std::move(main),
                                             .validation = *std::move(validation),
                                             .header = {},
                                             .digest = {},
                                             .checksum = {}});
  state->header.vocab_size = vocab_size;
  state->header.tokenizer_hash = tokenizer_hash;
  state->header.token_bytes =
      vocab_size <= kMaxNarrowVocabSize ? sizeof(std::uint16_t) : sizeof(std::uint32_t);
  // The place of the header; commit fills it in.
  if (Status status = state->main.write({reinterpret_cast<const char*>(&state->header), sizeof(Header)});
      !status.ok())
    return status;
  return TokenFileWriter(std::move(state));
}

Status TokenFileWriter::append(CorpusPart part, std::span<const std::int32_t> tokens,
                               std::uint64_t text_bytes) {
  State& state = *state_;
  NewFile& file = part == CorpusPart::train ? state.main : state.validation;
  GRADSTAB_RETURN_IF_ERROR(state.header.token_bytes == sizeof(std::uint16_t)
                               ? state.append<std::uint16_t>(file, tokens)
                               : state.append<std::uint32_t>(file, tokens));
  PartCounts& counts = state.header.parts[index_of(part)];
  counts.tokens += tokens.size();
  counts.text_bytes += text_bytes;
  ++counts.documents;
  return {};
}

Status TokenFileWriter::commit() {
  State& state = *state_;
  GRADSTAB_RETURN_IF_ERROR(state.append_validation_to_main());
  state.header.tokens_sha256 = state.digest.digest();
  state.header.tokens_checksum = state.checksum.value();
  state.header.checksum = state.header.expected_checksum();
  const ssize_t written = ::pwrite(state.main.descriptor(), &state.header, sizeof(Header), 0);
  if (written != static_cast<ssize_t>(sizeof(Header))) {
    return io_error("write", state.path, written < 0 ? errno : EIO);
  }
  return state.main.commit();
}

}  // namespace gradstab::lab
