// Who may ask the server for what.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gradstab::lab::watch {

/// What is looked at before a request is answered. Of headers, all values.
struct RequestFacts {
  std::string method;
  std::vector<std::string> hosts;
  std::vector<std::string> origins;
};

/// Why a request is refused.
struct Refusal {
  int status = 0;  ///< of HTTP; 0: it is not refused
  std::string_view reason = {};
};

/// A page of another site can make a browser on this machine ask here. It is kept out by two headers that no
/// script can change: `Host`, which must name this machine's loopback and the port (another name that leads
/// here is DNS rebinding), and `Origin`, which must be that of our own page where there is one. Nothing but
/// reading is allowed.
Refusal check_request(const RequestFacts& request, int port);

}  // namespace gradstab::lab::watch
