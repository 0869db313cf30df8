package resume

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	openUploads = gauge("clinsource_dicom_open_uploads", "Uploads that are open, in all processes together.")
	openBytes   = gauge("clinsource_dicom_open_upload_bytes", "Bytes that the open uploads are still to bring: room that is promised.")
	streams     = gauge("clinsource_dicom_upload_streams", "Uploads that a stream of this process goes on with.")

	receivedBytes  = counter("clinsource_dicom_upload_received_bytes_total", "Bytes received for uploads that may be gone on with.")
	committedBytes = counter("clinsource_dicom_upload_committed_bytes_total", "Bytes of them synced and said so in the row.")
	resumed        = counter("clinsource_dicom_uploads_resumed_total", "Streams that went on with an upload behind its start.")
	takeovers      = counter("clinsource_dicom_upload_takeovers_total", "Streams that were ended by a newer one of the same upload.")
	expired        = counter("clinsource_dicom_uploads_expired_total", "Uploads that made no progress for too long.")

	// Ended counts the uploads that this process ended, by state.
	Ended = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_dicom_uploads_ended_total", Help: "Uploads that ended here, by their last state.",
	}, []string{"state"})
)

func gauge(name, help string) prometheus.Gauge {
	return promauto.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func counter(name, help string) prometheus.Counter {
	return promauto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}
