from .page import Chart as Chart, write_report as write_report
