package subjects

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
)

// Admit decides whether the call's user may do this to this kind of record of
// the patient, and gives where the patient belongs. project is what the request
// named, or "". The refusals:
//   - a project that was named and in which the user has no grant, or a role that
//     forbids this; or none was named, and the user's roles forbid this in every
//     project they have: PermissionDenied, before anybody is asked about the
//     patient, so that the refusal tells nothing of them;
//   - a patient who is unknown, of another project than named, of a site or
//     project where the user may not do this: NotFound, all alike.
func Admit(ctx context.Context, r Resolver, do auth.Action, what auth.Kind, project, patient string) (Place, auth.Scope, error) {
	if err := anyhow(ctx, do, what, project); err != nil {
		return Place{}, auth.Scope{}, err
	}
	place, err := r.Resolve(ctx, patient)
	if err != nil {
		return Place{}, auth.Scope{}, err
	}
	if project != "" && place.Project != project {
		return Place{}, auth.Scope{}, Unseen()
	}
	scope, ok := auth.UserFrom(ctx).May(do, what, place.Project)
	if !ok || !scope.Covers(place.Site, patient) {
		return Place{}, auth.Scope{}, Unseen()
	}
	return place, scope, nil
}

// anyhow decides what does not depend on the patient. A user without any grant
// is let on, to be told of no patient.
func anyhow(ctx context.Context, do auth.Action, what auth.Kind, project string) error {
	if project != "" {
		_, err := InProject(ctx, do, what, project)
		return err
	}
	var refusal error
	for _, own := range auth.UserFrom(ctx).Projects() {
		if _, refusal = InProject(ctx, do, what, own); refusal == nil {
			return nil
		}
	}
	return refusal
}

// Unseen is the answer for a subject who is unknown or not to be seen: one
// answer for both, so that it tells nothing.
func Unseen() error {
	return fault.NotFound(fault.ReasonSubjectNotFound, "there is no such subject")
}

// InProject decides whether the call's user may do this to this kind of record
// anywhere in the project, and gives the scope that the data must lie in.
func InProject(ctx context.Context, do auth.Action, what auth.Kind, project string) (auth.Scope, error) {
	user := auth.UserFrom(ctx)
	scope, ok := user.May(do, what, project)
	switch {
	case ok:
		return scope, nil
	case !user.CanAccess(project):
		return scope, fault.Denied(fault.ReasonNoGrant, "the token holds no grant for this project")
	default:
		return scope, fault.Denied(fault.ReasonRoleForbids, "the role in this project does not allow to "+string(do)+" "+string(what))
	}
}
