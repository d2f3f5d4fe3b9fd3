// Command datadog_translator shows what Datadog's own translator, that of the Datadog Agent and of the exporter in the
// OpenTelemetry Collector, makes of OTLP metrics. For each folder given it reads the settings in case.json and requests.jsonl
// (OTLP/JSON, a request a line) and writes datadog.json: for each request what the translator handed on, in that order.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/DataDog/datadog-agent/pkg/opentelemetry-mapping-go/otlp/attributes"
	"github.com/DataDog/datadog-agent/pkg/opentelemetry-mapping-go/otlp/metrics"
	"github.com/DataDog/datadog-agent/pkg/util/quantile"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
)

// settings of the exporter under test, as far as the translator has the same.
type settings struct {
	Histograms struct {
		Mode                   metrics.HistogramMode `json:"mode"`
		SendAggregationMetrics bool                  `json:"send_aggregation_metrics"`
	} `json:"histograms"`
	Summaries struct {
		Mode string `json:"mode"`
	} `json:"summaries"`
	InitialValue     metrics.InitialCumulMonoValueMode `json:"initial_value"`
	HostMetricsNames string                            `json:"host_metrics_names"`
}

func (s settings) options() []metrics.TranslatorOption {
	options := []metrics.TranslatorOption{metrics.WithUnits(), metrics.WithInferDeltaInterval()}
	if s.Histograms.Mode != "" {
		options = append(options, metrics.WithHistogramMode(s.Histograms.Mode))
	}
	if s.Histograms.SendAggregationMetrics {
		options = append(options, metrics.WithHistogramAggregations())
	}
	if s.Summaries.Mode != "noquantiles" {
		options = append(options, metrics.WithQuantiles())
	}
	if s.InitialValue != "" {
		options = append(options, metrics.WithInitialCumulMonoValueMode(s.InitialValue))
	}
	switch s.HostMetricsNames {
	case "otel_prefixed":
		options = append(options, metrics.WithOTelPrefix())
	case "both":
		options = append(options, metrics.WithRemapping())
	}
	return options
}

type sample struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Host     string   `json:"host,omitempty"`
	Tags     []string `json:"tags"`
	Unit     string   `json:"unit,omitempty"`
	Interval int64    `json:"interval,omitempty"`
	// Seconds, as both of Datadog's exporters send them.
	Time  uint64   `json:"time"`
	Value *float64 `json:"value,omitempty"`
	*sketch
}

type sketch struct {
	Count   int64   `json:"count"`
	Sum     float64 `json:"sum"`
	Average float64 `json:"average"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	// Key and count of each bin.
	Bins [][2]int64 `json:"bins"`
}

// consumer keeps what the translator hands on.
type consumer struct{ samples []sample }

var _ metrics.Consumer = (*consumer)(nil)

func sampleOf(dimensions *metrics.Dimensions, nanoseconds uint64, interval int64) sample {
	tags := slices.Sorted(slices.Values(dimensions.Tags()))
	return sample{
		Name:     dimensions.Name(),
		Host:     dimensions.Host(),
		Tags:     append([]string{}, tags...),
		Unit:     dimensions.Unit(),
		Interval: interval,
		Time:     nanoseconds / 1_000_000_000,
	}
}

func (c *consumer) ConsumeTimeSeries(_ context.Context, d *metrics.Dimensions, t metrics.DataType, nanoseconds uint64, interval int64, value float64) {
	name, err := t.MarshalText()
	if err != nil {
		panic(err)
	}
	one := sampleOf(d, nanoseconds, interval)
	one.Type = string(name)
	one.Value = &value
	c.samples = append(c.samples, one)
}

func (c *consumer) ConsumeSketch(_ context.Context, d *metrics.Dimensions, nanoseconds uint64, interval int64, s *quantile.Sketch) {
	one := sampleOf(d, nanoseconds, interval)
	one.Type = "distribution"
	count, min, max, sum, average := s.BasicStats()
	keys, counts := s.Cols()
	bins := make([][2]int64, len(keys))
	for i := range keys {
		bins[i] = [2]int64{int64(keys[i]), int64(counts[i])}
	}
	one.sketch = &sketch{count, sum, average, min, max, bins}
	c.samples = append(c.samples, one)
}

// Only a consumer that wants histograms as they are gets them so.
func (*consumer) ConsumeExplicitBoundHistogram(context.Context, *metrics.Dimensions, pmetric.HistogramDataPointSlice) {
}

func (*consumer) ConsumeExponentialHistogram(context.Context, *metrics.Dimensions, pmetric.ExponentialHistogramDataPointSlice) {
}

type answer struct {
	Samples []sample `json:"samples"`
	Error   string   `json:"error,omitempty"`
}

func translate(folder string) error {
	var own struct {
		Settings settings `json:"settings"`
	}
	text, err := os.ReadFile(filepath.Join(folder, "case.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &own); err != nil {
		return err
	}
	telemetry := component.TelemetrySettings{Logger: zap.NewNop(), MeterProvider: noop.NewMeterProvider()}
	resources, err := attributes.NewTranslator(telemetry)
	if err != nil {
		return err
	}
	translator, err := metrics.NewDefaultTranslator(telemetry, resources, own.Settings.options()...)
	if err != nil {
		return err
	}
	requests, err := os.ReadFile(filepath.Join(folder, "requests.jsonl"))
	if err != nil {
		return err
	}
	var answers bytes.Buffer
	answers.WriteString("[")
	lines := bufio.NewScanner(bytes.NewReader(requests))
	lines.Buffer(nil, 16<<20)
	for first := true; lines.Scan(); first = false {
		request, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(lines.Bytes())
		if err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
		made := consumer{samples: []sample{}}
		_, problem := translator.MapMetrics(context.Background(), request, &made, nil)
		one := answer{Samples: made.samples}
		if problem != nil {
			one.Error = problem.Error()
		}
		if !first {
			answers.WriteString(",")
		}
		if err := writeLines(&answers, one); err != nil {
			return err
		}
	}
	answers.WriteString("]\n")
	return os.WriteFile(filepath.Join(folder, "datadog.json"), answers.Bytes(), 0o644)
}

// A sample a line, so that changes can be read.
func writeLines(out *bytes.Buffer, one answer) error {
	out.WriteString("{\"samples\":[")
	for i, each := range one.Samples {
		text, err := json.Marshal(each)
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteString(",")
		}
		out.WriteString("\n")
		out.Write(text)
	}
	out.WriteString("]")
	if one.Error != "" {
		text, _ := json.Marshal(one.Error)
		fmt.Fprintf(out, ",\"error\":%s", text)
	}
	out.WriteString("}")
	return nil
}

func main() {
	for _, folder := range os.Args[1:] {
		if err := translate(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
