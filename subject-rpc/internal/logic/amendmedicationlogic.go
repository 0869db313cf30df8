package logic

import (
	"context"

	"clinsource/internal/ident"
	"clinsource/internal/merge"
	"clinsource/internal/records"
	medicationpb "clinsource/proto/medication"
	"clinsource/subject-rpc/internal/message"
	"clinsource/subject-rpc/internal/svc"
)

// AmendMedicationLogic does one AmendMedication call.
type AmendMedicationLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewAmendMedicationLogic makes the logic of one call.
func NewAmendMedicationLogic(ctx context.Context, svcCtx *svc.ServiceContext) *AmendMedicationLogic {
	return &AmendMedicationLogic{ctx: ctx, svcCtx: svcCtx}
}

// AmendMedication judges what the correction makes of the record as if it came anew, and
// stores it as the next version.
func (l *AmendMedicationLogic) AmendMedication(in *medicationpb.AmendMedicationRequest) (*medicationpb.AmendMedicationResponse, error) {
	var check ident.Checker
	c := records.CorrectionOf(in, &check)
	if err := check.Err(); err != nil {
		return nil, err
	}
	base, err := l.svcCtx.Medications.BaseOf(l.ctx, l.svcCtx.Subjects, c)
	if err != nil {
		return nil, err
	}
	d, err := l.draft(in, base)
	if err != nil {
		return nil, err
	}
	stored, created, err := l.svcCtx.Medications.Amend(l.ctx, d, base, c)
	if err != nil {
		return nil, err
	}
	out, err := message.RecordOut(stored)
	return &medicationpb.AmendMedicationResponse{Medication: out, Created: created,
		RecordId: out.GetRecordId(), Version: out.GetVersion(), Findings: out.GetFindings()}, err
}

func (l *AmendMedicationLogic) draft(in *medicationpb.AmendMedicationRequest, base records.Base) (records.Draft, error) {
	before, err := message.Request(base.Record)
	if err != nil {
		return records.Draft{}, err
	}
	after, err := message.Request(base.Record)
	if err != nil {
		return records.Draft{}, err
	}
	bad := merge.Apply(after, in, in.GetUpdateMask())
	judged, check := judge(after)
	check = append(bad, check...)
	changed := merge.Changed(before, after)
	records.RefuseSame(&check, changed)
	if err := check.Err(); err != nil {
		return records.Draft{}, err
	}
	d, err := judged.draft(base.Place, base.Scope)
	d.Fields = changed
	return d, err
}
