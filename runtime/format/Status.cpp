//===- Status.cpp ---------------------------------------------------------===//

#include "runtime/format/Status.h"

#include <vector>

namespace whale::format {

std::string Error::text() const {
  std::string out = place.empty() ? "" : place + ": ";
  out += "error: " + message;
  std::vector<std::string> details;
  if (rank >= 0)
    details.push_back("rank " + std::to_string(rank) +
                      (host.empty() ? "" : " on '" + host + "'"));
  if (!section.empty())
    details.push_back("section '" + section + "'");
  if (instruction >= 0)
    details.push_back("instruction " + std::to_string(instruction));
  if (!path.empty())
    details.push_back("op '" + path + "'");
  for (size_t i = 0; i < details.size(); ++i)
    out += (i == 0 ? " (" : ", ") + details[i];
  return details.empty() ? out : out + ")";
}

} // namespace whale::format
