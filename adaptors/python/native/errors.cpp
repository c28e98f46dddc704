#include "errors.hpp"

#include <stdexcept>
#include <string>

namespace gradstab::python {

void raise(const Status& status) {
  throw std::runtime_error("gradient_stabilizer:" + std::string(to_string(status.code())) + ": " +
                           status.message());
}

}  // namespace gradstab::python
