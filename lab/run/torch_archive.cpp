#include "lab/run/torch_archive.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <optional>

#include "gradstab/tensor.hpp"
#include "lab/support/byte_reader.hpp"
#include "lab/support/zip.hpp"

namespace gradstab::lab {
namespace {

using Files = std::map<std::string, std::string_view>;

Status corrupt(const std::string& what) {
  return {StatusCode::corrupt_data, what};
}

/// Values inside each other; an archive of a module has a dozen levels.
constexpr int kDeepest = 64;

/// What the machine has on its stack beside finished values.
struct Mark {};
struct Global {
  std::string_view name;  // "torch FloatStorage"; a name alone, which is never looked up
};
struct Storage {
  std::string_view type;
  std::string_view bytes;
};
/// A module before it is built, and its dictionary.
struct Module {};
struct Dictionary {
  ArchiveValue::Object members;
};

struct Item {
  std::variant<ArchiveValue, Mark, Global, Storage, Module, Dictionary> is;
  int depth = 0;
};

std::int64_t bytes_of_element(std::string_view storage) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 8> kStorages = {{{"FloatStorage", 4},
                                                                                   {"DoubleStorage", 8},
                                                                                   {"HalfStorage", 2},
                                                                                   {"BFloat16Storage", 2},
                                                                                   {"ByteStorage", 1},
                                                                                   {"LongStorage", 8},
                                                                                   {"IntStorage", 4},
                                                                                   {"BoolStorage", 1}}};
  for (const auto& [name, bytes] : kStorages)
    if (storage == name) return bytes;
  return 0;
}

/// Reads the pickle of an archive, protocol 2.
class Machine {
 public:
  Machine(std::string_view pickle, const Files& files) : code_(pickle), files_(files) {}

  Result<ArchiveValue> run() {
    for (;;) {
      const auto code = code_.number<char>();
      if (!code_.ok()) return corrupt("its pickle is cut off");
      if (code == '.') break;
      if (!step(code)) return corrupt(what_ + " in its pickle");
    }
    if (stack_.size() != 1) return corrupt("its pickle does not end in one value");
    auto* const value = std::get_if<ArchiveValue>(&stack_.back().is);
    if (value == nullptr) return corrupt("its pickle does not end in a value");
    return std::move(*value);
  }

 private:
  bool fail(const char* what) {
    what_ = what;
    return false;
  }

  bool push(Item item) {
    if (item.depth > kDeepest) return fail("values are nested too deep");
    stack_.push_back(std::move(item));
    return true;
  }
  bool push_value(ArchiveValue value, int depth = 0) { return push({std::move(value), depth}); }

  template <class T>
  std::optional<T> pop() {
    if (stack_.empty() || !std::holds_alternative<T>(stack_.back().is)) return {};
    T value = std::get<T>(std::move(stack_.back().is));
    stack_.pop_back();
    return value;
  }
  template <class T>
  std::optional<T> pop_as() {
    const auto value = pop<ArchiveValue>();
    const T* const held = value ? value->as<T>() : nullptr;
    return held != nullptr ? std::optional<T>(*held) : std::nullopt;
  }

  /// Everything above the last mark, which goes too. The depth is that of a value around them.
  std::optional<std::vector<Item>> pop_to_mark() {
    const auto is_mark = [](const Item& item) { return std::holds_alternative<Mark>(item.is); };
    const auto mark = std::find_if(stack_.rbegin(), stack_.rend(), is_mark);
    if (mark == stack_.rend()) return {};
    const auto first = mark.base();
    std::vector<Item> items(std::make_move_iterator(first), std::make_move_iterator(stack_.end()));
    stack_.erase(first - 1, stack_.end());
    return items;
  }

  /// Of a line, as GLOBAL has them.
  std::string_view line() {
    std::string_view rest = code_.rest();
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) return code_.take(rest.size() + 1);
    const std::string_view text = code_.take(end);
    code_.take(1);
    return text;
  }

  bool step(char code);
  bool push_global();
  bool push_tuple(std::vector<Item> items);
  bool load_storage();
  bool call();
  bool rebuild_tensor(const ArchiveValue::List& arguments, const Storage& storage);
  bool put_items();
  bool build_module();
  bool remember(std::uint64_t index);
  bool recall(std::uint64_t index);

  ByteReader code_;
  const Files& files_;
  std::vector<Item> stack_;
  std::map<std::uint64_t, Item> memo_;
  std::optional<Storage> storage_;  // of the tuple that is being made
  std::string what_;
};

bool Machine::step(char code) {
  switch (code) {
    case '\x80':  // PROTO
      return code_.number<std::uint8_t>() == 2 || fail("an unknown protocol");
    case '(':  // MARK
      return push({Mark(), 0});
    case 'c':  // GLOBAL
      return push_global();
    case 'X':  // BINUNICODE
      return push_value({code_.take(code_.number<std::uint32_t>())});
    case 'K':  // BININT1
      return push_value({std::int64_t{code_.number<std::uint8_t>()}});
    case 'M':  // BININT2
      return push_value({std::int64_t{code_.number<std::uint16_t>()}});
    case 'J':  // BININT
      return push_value({std::int64_t{code_.number<std::int32_t>()}});
    case '\x8a': {  // LONG1: so many bytes, two's complement
      const std::string_view bytes = code_.take(code_.number<std::uint8_t>());
      if (bytes.size() > sizeof(std::int64_t)) return fail("a number beyond 64 bits");
      std::int64_t value = !bytes.empty() && (bytes.back() & 0x80) != 0 ? -1 : 0;
      std::memcpy(&value, bytes.data(), bytes.size());
      return push_value({value});
    }
    case 'G': {  // BINFLOAT, big-endian
      std::string bytes(code_.take(sizeof(double)));
      std::ranges::reverse(bytes);
      double value = 0.0;
      if (bytes.size() == sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
      return push_value({value});
    }
    case '\x88':  // NEWTRUE
      return push_value({true});
    case '\x89':  // NEWFALSE
      return push_value({false});
    case 'N':  // NONE
      return push_value({});
    case ')':  // EMPTY_TUPLE
    case ']':  // EMPTY_LIST
      return push_value({ArchiveValue::List()});
    case '}':  // EMPTY_DICT
      return push({Dictionary(), 0});
    case 't':  // TUPLE
    {
      auto items = pop_to_mark();
      return items ? push_tuple(*std::move(items)) : fail("the end of a tuple that was not begun");
    }
    case '\x85':  // TUPLE1 to TUPLE3
    case '\x86':
    case '\x87': {
      const std::size_t count = static_cast<unsigned char>(code) - 0x84u;
      if (stack_.size() < count) return fail("a tuple with fewer values than it needs");
      const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
      std::vector<Item> items(std::make_move_iterator(first), std::make_move_iterator(stack_.end()));
      stack_.erase(first, stack_.end());
      return push_tuple(std::move(items));
    }
    case 'Q':  // BINPERSID
      return load_storage();
    case 'R':  // REDUCE
      return call();
    case '\x81': {  // NEWOBJ: a class and no arguments
      const auto arguments = pop_as<ArchiveValue::List>();
      const auto type = pop<Global>();
      if (!arguments || !arguments->empty() || !type || !type->name.starts_with("__torch__"))
        return fail("an object that is not a module");
      return push({Module(), 0});
    }
    case 'u':  // SETITEMS
      return put_items();
    case 'b':  // BUILD
      return build_module();
    case 'q':  // BINPUT
      return remember(code_.number<std::uint8_t>());
    case 'r':  // LONG_BINPUT
      return remember(code_.number<std::uint32_t>());
    case 'h':  // BINGET
      return recall(code_.number<std::uint8_t>());
    case 'j':  // LONG_BINGET
      return recall(code_.number<std::uint32_t>());
    default:
      return fail("an operation that such archives do not use");
  }
}

bool Machine::push_global() {
  const std::string_view rest = code_.rest();
  const std::string_view module = line();
  const std::string_view name = line();
  if (!code_.ok()) return fail("a name that is cut off");
  // Both lines, which lie behind each other.
  return push({Global{rest.substr(0, module.size() + 1 + name.size())}, 0});
}

bool Machine::push_tuple(std::vector<Item> items) {
  ArchiveValue::List list;
  int depth = 0;
  // ('storage', type, 'name of the file', 'device', elements): what BINPERSID turns into a storage.
  if (items.size() == 5 && std::holds_alternative<Global>(items[1].is)) {
    const Global type = std::get<Global>(items[1].is);
    items[1].is = ArchiveValue{type.name};
  }
  for (Item& item : items) {
    depth = std::max(depth, item.depth + 1);
    // The storage of a tensor, and the empty OrderedDict of its hooks, which call() has made a list.
    if (auto* const storage = std::get_if<Storage>(&item.is)) {
      if (storage_) return fail("a tuple of two storages");
      storage_ = *storage;
      item.is = ArchiveValue();
    }
    auto* const value = std::get_if<ArchiveValue>(&item.is);
    if (value == nullptr) return fail("a tuple of something other than values");
    list.push_back(std::move(*value));
  }
  return push_value({std::move(list)}, depth);
}

bool Machine::load_storage() {
  const auto id = pop_as<ArchiveValue::List>();
  const auto text = [&](std::size_t i) {
    const auto* const word = id && i < id->size() ? (*id)[i].as<std::string_view>() : nullptr;
    return word != nullptr ? *word : std::string_view();
  };
  constexpr std::string_view kTorch = "torch\n";
  if (text(0) != "storage" || !text(1).starts_with(kTorch)) return fail("an invalid storage");
  const std::string_view type = text(1).substr(kTorch.size());
  const auto* const count = (*id)[4].as<std::int64_t>();
  const auto file = files_.find("data/" + std::string(text(2)));
  if (file == files_.end()) return fail("a storage whose file is missing");
  const std::int64_t element = bytes_of_element(type);
  if (count == nullptr || element == 0 || *count < 0 ||
      static_cast<std::uint64_t>(*count) != file->second.size() / static_cast<std::uint64_t>(element))
    return fail("a storage of another size than its file");
  return push({Storage{type, file->second}, 0});
}

bool Machine::call() {
  const auto arguments = pop_as<ArchiveValue::List>();
  const auto function = pop<Global>();
  if (!arguments || !function) return fail("a call without a function or arguments");
  if (function->name == "collections\nOrderedDict" && arguments->empty())
    return push_value({ArchiveValue::List()});
  if (function->name != "torch._utils\n_rebuild_tensor_v2" || !storage_)
    return fail("a call of a function that does not make a tensor");
  const Storage storage = *storage_;
  storage_.reset();
  return rebuild_tensor(*arguments, storage);
}

/// (storage, offset, sizes, strides, requires_grad, hooks)
bool Machine::rebuild_tensor(const ArchiveValue::List& arguments, const Storage& storage) {
  const auto* const offset = arguments.size() == 6 ? arguments[1].as<std::int64_t>() : nullptr;
  const auto* const sizes = arguments.size() == 6 ? arguments[2].as<ArchiveValue::List>() : nullptr;
  const auto* const strides = arguments.size() == 6 ? arguments[3].as<ArchiveValue::List>() : nullptr;
  if (offset == nullptr || sizes == nullptr || strides == nullptr || sizes->size() != strides->size())
    return fail("a tensor without shape");
  ArchiveTensor tensor{storage.type, std::vector<std::int64_t>(sizes->size()), {}};
  std::int64_t count = 1;
  for (std::size_t i = sizes->size(); i-- > 0;) {
    const auto* const size = (*sizes)[i].as<std::int64_t>();
    const auto* const stride = (*strides)[i].as<std::int64_t>();
    if (size == nullptr || *size < 0 || stride == nullptr) return fail("a tensor with an invalid shape");
    // Elements of size 1 may have any stride.
    if (*size > 1 && *stride != count) return fail("a tensor that is not contiguous");
    tensor.sizes[i] = *size;
    if (__builtin_mul_overflow(count, *size, &count)) return fail("a tensor that is too large");
  }
  std::int64_t begin = 0;
  std::int64_t bytes = 0;
  const std::int64_t element = bytes_of_element(storage.type);
  if (*offset < 0 || __builtin_mul_overflow(*offset, element, &begin) ||
      __builtin_mul_overflow(count, element, &bytes) ||
      static_cast<std::uint64_t>(begin) > storage.bytes.size() ||
      static_cast<std::uint64_t>(bytes) > storage.bytes.size() - static_cast<std::uint64_t>(begin))
    return fail("a tensor that reaches beyond its storage");
  tensor.bytes = storage.bytes.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(bytes));
  return push_value({std::move(tensor)});
}

/// Keys and values above the mark into the dictionary below it.
bool Machine::put_items() {
  auto items = pop_to_mark();
  if (!items || items->size() % 2 != 0 || stack_.empty())
    return fail("entries of something that is not a dictionary");
  auto* const dictionary = std::get_if<Dictionary>(&stack_.back().is);
  if (dictionary == nullptr) return fail("entries of something that is not a dictionary");
  int depth = stack_.back().depth;
  for (std::size_t i = 0; i < items->size(); i += 2) {
    const auto* const key_value = std::get_if<ArchiveValue>(&(*items)[i].is);
    const auto* const key = key_value != nullptr ? key_value->as<std::string_view>() : nullptr;
    auto* const value = std::get_if<ArchiveValue>(&(*items)[i + 1].is);
    if (key == nullptr || value == nullptr) return fail("a dictionary of something other than values");
    depth = std::max(depth, (*items)[i + 1].depth + 1);
    dictionary->members.push_back({*key, std::move(*value)});
  }
  stack_.back().depth = depth;
  return depth <= kDeepest || fail("values are nested too deep");
}

bool Machine::build_module() {
  const int depth = stack_.empty() ? 0 : stack_.back().depth;
  auto dictionary = pop<Dictionary>();
  if (!dictionary || !pop<Module>()) return fail("members of something that is not a module");
  return push_value({std::move(dictionary->members)}, depth);
}

/// Texts and names alone come back: so nothing is in two places, and nothing inside itself.
bool Machine::remember(std::uint64_t index) {
  if (stack_.empty()) return fail("a memo of a missing value");
  const Item& item = stack_.back();
  const auto* const value = std::get_if<ArchiveValue>(&item.is);
  if (std::holds_alternative<Global>(item.is) ||
      (value != nullptr && value->as<std::string_view>() != nullptr))
    memo_[index] = item;
  return true;
}

bool Machine::recall(std::uint64_t index) {
  const auto found = memo_.find(index);
  return found != memo_.end() ? push(found->second) : fail("a reference to an unknown memo");
}

}  // namespace

const ArchiveValue* ArchiveValue::member(std::string_view name) const {
  const auto* const object = as<Object>();
  if (object == nullptr) return nullptr;
  for (const auto& [key, value] : *object)
    if (key == name) return &value;
  return nullptr;
}

Result<ArchiveValue> read_torch_archive(std::string_view archive) {
  const auto stored = stored_files_of_zip(archive);
  if (!stored) return stored.status();
  // "archive/data.pkl": the folder is named after the file that was written.
  Files files;
  for (const auto& [name, content] : *stored) {
    const std::size_t slash = name.find('/');
    if (slash != std::string::npos) files[name.substr(slash + 1)] = content;
  }
  const auto pickle = files.find("data.pkl");
  if (pickle == files.end()) return corrupt("it holds no data.pkl");
  return Machine(pickle->second, files).run();
}

}  // namespace gradstab::lab
