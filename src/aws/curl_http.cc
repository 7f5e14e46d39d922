#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "aws/http.h"
#include "base/error.h"

// libcurl's header is included here only.
namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kStallMaxWhenStopping{5000};
constexpr std::chrono::minutes kTransferMax{10};
// Connections kept open beyond the transfers under way.
constexpr std::size_t kIdleMax = 16;

struct CloseHandle {
  void operator()(CURL* handle) const { ::curl_easy_cleanup(handle); }
};
using Handle = std::unique_ptr<CURL, CloseHandle>;

struct FreeList {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

void append(HeaderList& list, const std::string& line) {
  curl_slist* shorter = list.release();
  list.reset(::curl_slist_append(shorter, line.c_str()));
  if (list) return;
  list.reset(shorter);
  throw std::bad_alloc();
}

// One request under way; what libcurl's callbacks see. They are called through C, so nothing may be thrown
// out of them: without memory the process ends.
struct Transfer {
  const HttpOptions& options;
  std::string_view body_left;
  HttpResponse response;
  std::stop_token stop;
  curl_off_t moved = 0;
  Clock::time_point moved_at = Clock::now();
  std::optional<Clock::time_point> stop_seen_at = {};
  bool sent = false;
  bool too_large = false;
  std::string_view given_up = {};  // Why.
};

std::size_t read_body(char* out, std::size_t size, std::size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  std::size_t length = std::min(size * count, transfer.body_left.size());
  transfer.body_left.copy(out, length);
  transfer.body_left.remove_prefix(length);
  return length;
}

// On a kept connection that turns out to be dead libcurl would send a request again by itself. Whoever asked
// must know, because the first may have had its effect.
int send_once(void* user, char*, char*, int, int) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  return std::exchange(transfer.sent, true) ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  std::size_t length = size * count;
  if (transfer.response.body.size() + length > kResponseBytesMax) {
    transfer.too_large = true;
    return 0;
  }
  transfer.response.body.append(bytes, length);
  return length;
}

std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  std::string_view line(bytes, size * count);
  // Headers of a "100 Continue" are not those of the answer.
  if (line.starts_with("HTTP/")) transfer.response.headers.clear();
  std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size * count;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  std::size_t first = value.find_first_not_of(" \t\r\n");
  std::size_t last = value.find_last_not_of(" \t\r\n");
  transfer.response.headers[name] =
      first == std::string_view::npos ? std::string() : std::string(value.substr(first, last - first + 1));
  return size * count;
}

// Called about once a second, and when something moves.
int watch(void* user, curl_off_t, curl_off_t down, curl_off_t, curl_off_t up) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  auto now = Clock::now();
  if (!transfer.stop_seen_at && transfer.stop.stop_requested()) transfer.stop_seen_at = now;
  if (transfer.stop_seen_at && now - *transfer.stop_seen_at > transfer.options.after_stop_max) {
    transfer.given_up = "it was stopped before the end";
    return 1;
  }
  if (down + up != transfer.moved) {
    transfer.moved = down + up;
    transfer.moved_at = now;
    return 0;
  }
  auto stall_max = transfer.options.stall_max;
  if (transfer.stop_seen_at) stall_max = std::min(stall_max, kStallMaxWhenStopping);
  if (now - transfer.moved_at <= stall_max) return 0;
  transfer.given_up = "nothing moved for too long";
  return 1;
}

bool is_tls_failure(CURLcode code, std::string_view reason) {
  // Also what a handshake ends with that is cut: then OpenSSL has nothing to say but that.
  if (code == CURLE_SSL_CONNECT_ERROR) {
    return reason.find("SSL routines") != std::string_view::npos &&
           reason.find("unexpected eof") == std::string_view::npos;
  }
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CERTPROBLEM;
}

// A line break in a header would begin another one.
void refuse_control_characters(const NameValues& headers) {
  for (const auto& [name, value] : headers) {
    if (std::ranges::none_of(value, [](unsigned char c) { return std::iscntrl(c) != 0; })) continue;
    throw Error(
        ErrorKind::kTargetAuthentication,
        {.message = fmt::format("the header {} would hold a line break or another control character", name),
         .remedy = "Correct the credentials, or the file or variable that has their token."});
  }
}

class CurlHttp final : public Http {
 public:
  explicit CurlHttp(HttpOptions options) : options_(std::move(options)) {
    static const CURLcode initialised = ::curl_global_init(CURL_GLOBAL_DEFAULT);
    if (initialised != CURLE_OK) throw Error(ErrorKind::kInternal, "libcurl cannot be initialised");
  }

  HttpResponse send(const HttpRequest& request, std::stop_token stop) override {
    refuse_control_characters(request.headers);
    Transfer transfer{
        .options = options_, .body_left = request.body, .response = {}, .stop = std::move(stop)};
    std::string query = canonical_query(request);
    std::string url = request.address.url() + encoded_path(request);
    if (!query.empty()) url.append("?").append(query);
    HeaderList headers;
    for (const auto& [name, value] : request.headers) {
      // libcurl's form of a header without a value.
      append(headers, value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
    }
    append(headers, "Expect:");
    append(headers, "Accept:");
    bool has_body = request.method == "PUT" || request.method == "POST";
    // libcurl's own for a POST.
    bool typed = std::ranges::any_of(request.headers,
                                     [](const auto& header) { return header.first == "content-type"; });
    if (!typed) append(headers, "Content-Type:");

    std::array<char, CURL_ERROR_SIZE> reason{};
    // Closed before what it refers to is gone.
    Handle handle = take_handle();
    CURL* curl = handle.get();
    ::curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    // The path is what was signed: "a/../b" is a key.
    ::curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    ::curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    ::curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    ::curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    ::curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    ::curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    if (has_body) {
      ::curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
      ::curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      ::curl_easy_setopt(curl, CURLOPT_READFUNCTION, read_body);
      ::curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
      ::curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    }
    ::curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, send_once);
    ::curl_easy_setopt(curl, CURLOPT_PREREQDATA, &transfer);
    ::curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    ::curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    ::curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
    ::curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    ::curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
    ::curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    ::curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, watch);
    ::curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
    ::curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    ::curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                       static_cast<long>(std::chrono::milliseconds(kTransferMax).count()));
    ::curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason.data());
    ::curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    ::curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    ::curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (!options_.use_proxy) ::curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    if (!options_.certificate_authorities.empty()) {
      curl_blob blob{.data = const_cast<char*>(options_.certificate_authorities.data()),
                     .len = options_.certificate_authorities.size(),
                     .flags = CURL_BLOB_NOCOPY};
      ::curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
      // Named authorities are all that is trusted.
      ::curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
    }

    CURLcode code = ::curl_easy_perform(curl);
    if (code != CURLE_OK) throw failure(request, transfer, code, reason.data());
    long status = 0;
    ::curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    transfer.response.status = static_cast<int>(status);
    put_back(std::move(handle));
    return std::move(transfer.response);
  }

 private:
  static Error failure(const HttpRequest& request, const Transfer& transfer, CURLcode code,
                       const char* reason) {
    std::string peer = request.address.url();
    std::string what = *reason != '\0' ? reason : ::curl_easy_strerror(code);
    std::string vendor_code = fmt::format("libcurl {}", static_cast<int>(code));
    if (transfer.too_large) {
      return Error(
          ErrorKind::kTargetUnwritable,
          {.message = fmt::format("{} sent more than {} bytes in one answer", peer, kResponseBytesMax),
           .remedy = "See whether it is an S3 service."});
    }
    if (is_tls_failure(code, what)) {
      return Error(
          ErrorKind::kTargetTls,
          {.message = fmt::format("no trusted connection to {}: {}", peer, what),
           .remedy =
               "Name the certificate authorities in CertificatePem or AWS_CA_BUNDLE, or correct the URL.",
           .vendor_code = vendor_code});
    }
    // The second is what comes when a body has been sent and would have to be sent again.
    bool closed = code == CURLE_ABORTED_BY_CALLBACK || code == CURLE_SEND_FAIL_REWIND;
    if (closed) what = "the connection was closed before an answer";
    if (!transfer.given_up.empty()) what = transfer.given_up;
    return Error(ErrorKind::kTargetUnreachable, {.message = fmt::format("{} does not answer: {}", peer, what),
                                                 .remedy = "See whether the service runs and can be reached.",
                                                 .vendor_code = vendor_code});
  }

  Handle take_handle() {
    {
      std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        Handle handle = std::move(idle_.back());
        idle_.pop_back();
        return handle;
      }
    }
    Handle handle(::curl_easy_init());
    if (!handle) throw std::bad_alloc();
    return handle;
  }

  // Keeps the handle's connections; one whose transfer failed is closed instead.
  void put_back(Handle handle) {
    ::curl_easy_reset(handle.get());
    std::lock_guard lock(mutex_);
    if (idle_.size() < kIdleMax) idle_.push_back(std::move(handle));
  }

  const HttpOptions options_;
  std::mutex mutex_;  // Guards idle_.
  std::vector<Handle> idle_;
};

}  // namespace

std::unique_ptr<Http> make_http(const HttpOptions& options) { return std::make_unique<CurlHttp>(options); }

}  // namespace ferry::aws
