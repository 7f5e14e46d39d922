#include "aws/refusal_kind.h"

#include <algorithm>
#include <array>

namespace ferry::aws {
namespace {

using base::ErrorKind;

struct CodeKind {
  std::string_view code;
  ErrorKind kind;
};

// Amazon S3 API Reference, "Error responses", what services like it add, and AWS Security Token Service API
// Reference, "Common Error Types". A code that is not here is told by its status.
constexpr std::array kCodeKinds = {
    CodeKind{"InvalidAccessKeyId", ErrorKind::kTargetAuthentication},
    CodeKind{"SignatureDoesNotMatch", ErrorKind::kTargetAuthentication},
    CodeKind{"InvalidToken", ErrorKind::kTargetAuthentication},
    CodeKind{"ExpiredToken", ErrorKind::kTargetAuthentication},
    CodeKind{"ExpiredTokenException", ErrorKind::kTargetAuthentication},
    CodeKind{"TokenRefreshRequired", ErrorKind::kTargetAuthentication},
    CodeKind{"InvalidSecurity", ErrorKind::kTargetAuthentication},
    CodeKind{"XAdminUserNotFound", ErrorKind::kTargetAuthentication},
    CodeKind{"AccessDenied", ErrorKind::kTargetPrivilege},
    CodeKind{"AllAccessDisabled", ErrorKind::kTargetPrivilege},
    CodeKind{"NoSuchBucket", ErrorKind::kTargetConfiguration},
    CodeKind{"InvalidBucketName", ErrorKind::kTargetConfiguration},
    CodeKind{"AuthorizationHeaderMalformed", ErrorKind::kTargetConfiguration},
    CodeKind{"PermanentRedirect", ErrorKind::kTargetConfiguration},
    CodeKind{"TemporaryRedirect", ErrorKind::kTargetConfiguration},
    CodeKind{"IllegalLocationConstraintException", ErrorKind::kTargetConfiguration},
    CodeKind{"RequestTimeTooSkewed", ErrorKind::kTargetConfiguration},
    CodeKind{"QuotaExceeded", ErrorKind::kTargetFull},
    CodeKind{"XMinioStorageFull", ErrorKind::kTargetFull},
    CodeKind{"XMinioAdminBucketQuotaExceeded", ErrorKind::kTargetFull},
    CodeKind{"SlowDown", ErrorKind::kTargetUnreachable},
    CodeKind{"InternalError", ErrorKind::kTargetUnreachable},
    CodeKind{"ServiceUnavailable", ErrorKind::kTargetUnreachable},
    CodeKind{"RequestTimeout", ErrorKind::kTargetUnreachable},
    CodeKind{"RequestLimitExceeded", ErrorKind::kTargetUnreachable},
    CodeKind{"Throttling", ErrorKind::kTargetUnreachable},
    CodeKind{"ThrottlingException", ErrorKind::kTargetUnreachable},
    CodeKind{"OperationAborted", ErrorKind::kTargetUnreachable},
    CodeKind{"IDPCommunicationError", ErrorKind::kTargetUnreachable},
    // The body was not what the service received.
    CodeKind{"BadDigest", ErrorKind::kTargetUnreachable},
    CodeKind{"IncompleteBody", ErrorKind::kTargetUnreachable},
    CodeKind{"XAmzContentSHA256Mismatch", ErrorKind::kTargetUnreachable},
    // Not to be sent again, whatever its status: the object has to be.
    CodeKind{"NoSuchUpload", ErrorKind::kTargetUnwritable},
};

}  // namespace

ErrorKind kind_of_refusal(int status, std::string_view code) {
  auto found = std::ranges::find(kCodeKinds, code, &CodeKind::code);
  if (found != kCodeKinds.end()) return found->kind;
  switch (status) {
    case 401: return ErrorKind::kTargetAuthentication;
    case 403: return ErrorKind::kTargetPrivilege;
    case 408:
    case 429: return ErrorKind::kTargetUnreachable;
    case 501:  // Not implemented.
    case 505:  // This version of HTTP not supported.
      return ErrorKind::kTargetUnwritable;
    case 507: return ErrorKind::kTargetFull;
    default: break;
  }
  if (status >= 500) return ErrorKind::kTargetUnreachable;
  if (status >= 300 && status < 400) return ErrorKind::kTargetConfiguration;
  return ErrorKind::kTargetUnwritable;
}

}  // namespace ferry::aws
