package fault

import "google.golang.org/grpc/codes"

// The reasons, stable for ever. Reasons lists each with what it means.
const (
	ReasonFieldInvalid     = "FIELD_INVALID"
	ReasonBodyInvalid      = "BODY_INVALID"
	ReasonBodyTooLarge     = "BODY_TOO_LARGE"
	ReasonQueryInvalid     = "QUERY_INVALID"
	ReasonPageTokenInvalid = "PAGE_TOKEN_INVALID"
	ReasonImageRefused     = "IMAGE_REFUSED"
	ReasonTokenMissing     = "TOKEN_MISSING"
	ReasonTokenInvalid     = "TOKEN_INVALID"
	ReasonIssuerAway       = "ISSUER_AWAY"
	ReasonLockedOut        = "LOCKED_OUT"
	ReasonCallerLimit      = "CALLER_LIMIT"
	ReasonHeadersTooLarge  = "HEADERS_TOO_LARGE"
	ReasonPeerNotAllowed   = "PEER_NOT_ALLOWED"
	ReasonNoGrant          = "NO_GRANT"
	ReasonAccountDisabled  = "ACCOUNT_DISABLED"
	ReasonAdminLockout     = "ADMIN_LOCKOUT"
	ReasonRoleForbids      = "ROLE_FORBIDS"
	ReasonSubjectNotFound  = "SUBJECT_NOT_FOUND"
	ReasonProjectNotFound  = "PROJECT_NOT_FOUND"
	ReasonSiteNotFound     = "SITE_NOT_FOUND"
	ReasonRecordNotFound   = "RECORD_NOT_FOUND"
	ReasonUploadNotFound   = "UPLOAD_NOT_FOUND"
	ReasonGrantNotFound    = "GRANT_NOT_FOUND"
	ReasonRouteNotFound    = "ROUTE_NOT_FOUND"
	ReasonMethodNotAllowed = "METHOD_NOT_ALLOWED"
	ReasonIDTaken          = "ID_TAKEN"
	ReasonWithdrawn        = "SUBJECT_WITHDRAWN"
	ReasonConsentWithdrawn = "CONSENT_WITHDRAWN"
	ReasonVoided           = "RECORD_VOIDED"
	ReasonNoDeadline       = "NO_DEADLINE"
	ReasonStorageFull      = "STORAGE_FULL"
	ReasonQuotaExceeded    = "QUOTA_EXCEEDED"
	ReasonOverloaded       = "OVERLOADED"
	ReasonUnavailable      = "UNAVAILABLE"
	ReasonOutcomeUnknown   = "OUTCOME_UNKNOWN"
	ReasonTimeout          = "TIMEOUT"
	ReasonCanceled         = "CANCELED"
	ReasonUnimplemented    = "UNIMPLEMENTED"
	ReasonUploadOffset     = "UPLOAD_OFFSET"
	ReasonStale            = "STALE_VERSION"
	ReasonCorrupt          = "STORED_BYTES_CORRUPT"
	ReasonInternal         = "INTERNAL"
)

// Explanation says what a reason means and what the caller does, in English
// and in Chinese. The gateway makes problem titles and the reasons' pages of it.
type Explanation struct {
	Title   string // English, a few words.
	TitleZH string // The same in Chinese.
	Help    string // English: what happened and the way out.
	HelpZH  string // The same in Chinese.
}

// Reasons explains every reason.
var Reasons = map[string]Explanation{
	ReasonFieldInvalid:     {"The request breaks a rule", "请求参数错误", "One or more fields break a rule; errors names each field, the rule and what would be right. Correct them and send again.", "请求参数错误，请检查所列字段，更正后重新发送。"},
	ReasonBodyInvalid:      {"The body is not valid JSON for this route", "请求体无效", "The body could not be read as the JSON object this route takes; errors says where. Correct it and send again.", "请求体不是此接口要求的 JSON，请按提示更正后重新发送。"},
	ReasonBodyTooLarge:     {"The body is too large", "请求体过大", "The body exceeds this route's limit (1 MiB for JSON, 8 MiB for batches). Split it.", "请求体超过上限（JSON 为 1 MiB，批量为 8 MiB），请拆分后发送。"},
	ReasonQueryInvalid:     {"Unknown or malformed query parameter", "查询参数错误", "A query parameter is not known here or cannot be read. errors names it.", "请求参数错误，请检查查询参数。"},
	ReasonPageTokenInvalid: {"The page token is not valid", "分页令牌无效", "page_token must be the next_page_token of the answer before, for the same request. Start again without it.", "page_token 必须来自同一请求的上一页；请从第一页重新开始。"},
	ReasonImageRefused:     {"The image was refused", "影像被拒绝", "The bytes are not an acceptable DICOM Part 10 file; errors names the rule. Nothing was kept.", "上传内容不是可接受的 DICOM 文件，未保存任何内容；请按提示检查。"},
	ReasonTokenMissing:     {"A bearer token is needed", "缺少访问令牌", "Send the header Authorization: Bearer TOKEN (gRPC: metadata authorization).", "请在 Authorization 头中提供 Bearer 令牌。"},
	ReasonTokenInvalid:     {"The bearer token is not valid", "访问令牌无效", "The token is malformed, expired, or not issued for this system. Get a new one.", "访问令牌无效或已过期，请重新获取。"},
	ReasonIssuerAway:       {"The token's issuer cannot be heard", "令牌签发方暂时不可用", "The token cannot be verified: its issuer's public keys are not known here, and the issuer does not answer. Nothing is wrong with the token that we know of. Back off (Retry-After) and send again.", "暂时无法从签发方获取公钥，无法验证访问令牌，请稍后重试。"},
	ReasonLockedOut:        {"Too many refused tokens from this address", "该地址的无效令牌过多", "Too many requests from this source address came without a valid token. For a while (Retry-After, at most a minute) no token that this system has not seen before is verified for it; those that were valid here before go on working. Wait, and send a valid token.", "来自该地址的无效令牌过多，请按 Retry-After 等待后，使用有效令牌重试。"},
	ReasonCallerLimit:      {"Too many requests of one caller", "单一调用方请求过多", "The token's subject sends more requests a second, or has more under way at once, than one caller may. Nothing was done. Back off (Retry-After) and send again, fewer at once.", "该调用方的请求过多，请按 Retry-After 稍后重试，并减少并发。"},
	ReasonHeadersTooLarge:  {"The request headers are too large", "请求头过大", "A request may have 100 headers and 48 KiB of them. Leave out what is not needed (cookies, a token with many claims).", "请求头超过上限（100 个，共 48 KiB），请精简后重试。"},
	ReasonPeerNotAllowed:   {"This process may not call that service", "进程无权调用该服务", "The client certificate's name is not on the service's list of peers. An operator changes the list.", "客户端证书不在该服务的允许名单中，请联系管理员。"},
	ReasonNoGrant:          {"No grant for this project", "权限不足", "The token holds no grant for this project. Ask an administrator; a retry does not help.", "权限不足，请联系管理员。"},
	ReasonRoleForbids:      {"The role does not allow this", "权限不足", "The caller's role in this project does not allow this action. Ask an administrator; a retry does not help.", "权限不足，请联系管理员。"},
	ReasonAccountDisabled:  {"The account is disabled", "账号已停用", "An admin has disabled this account; every token of it is refused. Ask an administrator; a retry does not help.", "该账号已被停用，请联系管理员。"},
	ReasonAdminLockout:     {"No admin would be left", "将没有管理员", "Nobody takes their own rule away when no other admin is left to give it back, and nobody disables their own account. Let another admin do it, or make one first.", "不能移除自己的最后一个管理员权限，也不能停用自己的账号；请由其他管理员操作。"},
	ReasonGrantNotFound:    {"No such grant", "授权不存在", "There is no grant with this grant_id that the caller may see.", "授权不存在或不可见，请检查 grant_id。"},
	ReasonSubjectNotFound:  {"No such subject", "受试者不存在", "There is no subject with this patient_id that the caller may see.", "受试者不存在或不可见，请检查 patient_id 字段。"},
	ReasonProjectNotFound:  {"No such project", "项目不存在", "There is no project with this project_id.", "项目不存在，请检查 project_id 字段。"},
	ReasonSiteNotFound:     {"No such site", "中心不存在", "There is no site with this site_id in the project.", "中心不存在，请检查 site_id 字段。"},
	ReasonRecordNotFound:   {"No such record", "记录不存在", "There is no such record that the caller may see.", "记录不存在或不可见。"},
	ReasonUploadNotFound:   {"No such upload", "上传不存在", "There is no such upload of this caller, or it has expired. Begin a new one.", "该上传不存在或已过期，请重新开始上传。"},
	ReasonRouteNotFound:    {"No such route", "接口不存在", "There is no such path; /docs lists all.", "接口不存在，请参阅 /docs。"},
	ReasonMethodNotAllowed: {"The path does not take this method", "方法不允许", "The Allow header lists the methods that this path takes.", "该路径不支持此方法，请参阅 Allow 头。"},
	ReasonIDTaken:          {"The id holds other content", "标识已被占用", "A record with this id exists and its content differs. Read it; use a new id for new content.", "该标识已存在且内容不同；请先读取，新内容请使用新标识。"},
	ReasonWithdrawn:        {"The subject has withdrawn", "受试者已退出", "The data is dated at or after the subject's withdrawal and may not be taken.", "数据时间在受试者退出之后，不予接收。"},
	ReasonConsentWithdrawn: {"Consent to this was withdrawn", "知情同意已撤回", "The data is dated while the subject's consent to this purpose was withdrawn and may not be taken. What was measured before stays; after a consent anew, what is measured from then on is taken.", "数据时间处于受试者撤回该用途知情同意期间，不予接收；此前的数据保留，重新同意之后的数据可以接收。"},
	ReasonVoided:           {"The record is voided", "记录已作废", "A voided record cannot be corrected any more; its versions stay readable. Send what is true as a new record, with a new client_record_id.", "记录已作废，不能再更正，其各版本仍可读取；请使用新的 client_record_id 提交正确的记录。"},
	ReasonNoDeadline:       {"The call has no deadline", "调用没有截止时间", "Every call needs a deadline; set one (grpc-timeout) and call again.", "每次调用都必须设置截止时间。"},
	ReasonStorageFull:      {"The storage is full", "存储空间已满", "Nothing was stored. An operator makes room; then send again.", "存储空间已满，未保存任何内容；请稍后重试。"},
	ReasonQuotaExceeded:    {"The project's quota is used up", "项目存储配额已用尽", "Nothing was stored. An operator raises the project's quota; then send again.", "项目存储配额已用尽，未保存任何内容；请联系管理员。"},
	ReasonOverloaded:       {"Too much at once", "请求过多", "A bound on work at the same time is reached. Back off (Retry-After) and send again.", "当前请求过多，请按 Retry-After 稍后重试。"},
	ReasonUnavailable:      {"A part is away for now", "服务暂时不可用", "Nothing is wrong with the request. Back off exponentially and send it again, with the same client_record_id.", "服务暂时不可用，请稍后重试。"},
	ReasonOutcomeUnknown:   {"It is not known whether it was stored", "结果未知", "The answer of the storage did not come in time. Send it again with the same client_record_id: it is stored once.", "未能确认是否已保存；请使用相同的 client_record_id 重新发送。"},
	ReasonTimeout:          {"The time ran out", "请求超时", "The call took longer than its budget. Send it again, with the same client_record_id.", "请求超时，请稍后重试。"},
	ReasonCanceled:         {"The caller left", "请求已取消", "The caller closed the connection before the answer.", "请求已被调用方取消。"},
	ReasonUnimplemented:    {"Not offered", "未提供该功能", "This function is not offered.", "未提供该功能。"},
	ReasonUploadOffset:     {"The upload goes on elsewhere", "上传偏移量不符", "The offset is not the committed one, or a newer stream of the same upload took over. Ask for the upload's offset and go on from there.", "偏移量不是已提交的偏移量，或该上传已由新的连接接管；请查询偏移量后继续。"},
	ReasonStale:            {"The base version is stale", "版本已过期", "Somebody changed the record meanwhile. Read it, merge, send again.", "记录已被修改，请重新读取并合并后再发送。"},
	ReasonCorrupt:          {"Stored bytes are damaged", "存储内容损坏", "The stored bytes no longer have the recorded digest. Report the request_id.", "存储内容已损坏，请报告 request_id。"},
	ReasonInternal:         {"Something went wrong inside", "内部错误", "Nothing is wrong with the request that we know of. Report the request_id.", "发生内部错误，请报告 request_id。"},
}

// reasonOf is the reason of a bare gRPC status that is not ours.
var reasonOf = map[codes.Code]string{
	codes.Canceled:           ReasonCanceled,
	codes.Unknown:            ReasonInternal,
	codes.InvalidArgument:    ReasonFieldInvalid,
	codes.DeadlineExceeded:   ReasonTimeout,
	codes.NotFound:           ReasonRecordNotFound,
	codes.AlreadyExists:      ReasonIDTaken,
	codes.PermissionDenied:   ReasonRoleForbids,
	codes.ResourceExhausted:  ReasonOverloaded,
	codes.FailedPrecondition: ReasonWithdrawn,
	codes.Aborted:            ReasonStale,
	codes.OutOfRange:         ReasonFieldInvalid,
	codes.Unimplemented:      ReasonUnimplemented,
	codes.Internal:           ReasonInternal,
	codes.Unavailable:        ReasonUnavailable,
	codes.DataLoss:           ReasonCorrupt,
	codes.Unauthenticated:    ReasonTokenInvalid,
}

var plainMessage = map[codes.Code]string{
	codes.Canceled:           "the caller left",
	codes.InvalidArgument:    "the request is not valid",
	codes.DeadlineExceeded:   "the time for this call ran out; send it again",
	codes.NotFound:           "there is no such thing",
	codes.AlreadyExists:      "it exists already",
	codes.PermissionDenied:   "not allowed",
	codes.ResourceExhausted:  "too much at once; back off and send again",
	codes.FailedPrecondition: "the present state forbids this",
	codes.Aborted:            "it was changed meanwhile",
	codes.OutOfRange:         "out of range",
	codes.Unimplemented:      "not offered",
	codes.Internal:           "something went wrong inside; report the request id",
	codes.Unavailable:        "the service is away for now; back off and send again",
	codes.DataLoss:           "stored bytes are damaged; report the request id",
	codes.Unauthenticated:    "no valid token",
}
